"""Joined runs that are cancelled while they are trained with others: a thread asks Prefect, and takes them out.

A worker ends a cancelled run by ending its process. A joined run has none, so it ends itself.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence

from prefect.settings import PREFECT_API_URL

from elp_core.types import Seconds
from pipelines.errors import RunCancelled
from pipelines.orchestration.shared_pass import SharedPass
from pipelines.orchestration.slot_deployments import pages

CANCELLED_IN_PASS = "the run was cancelled"
EVERY: Seconds = 2.0
"""Time between two questions to Prefect."""


@contextlib.contextmanager
def watched_cancellations(shared: SharedPass, runs: Sequence[str]) -> Iterator[None]:
    """Take each of some runs out of its pass when it is cancelled, while the block trains."""
    api, ended = PREFECT_API_URL.value(), threading.Event()
    if not runs or not api:
        yield
        return
    # not joined: a request may take a minute, and a run that it takes out then ends as one that is cancelled later
    threading.Thread(target=_take_out_cancelled, args=(api, shared, runs, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _take_out_cancelled(api: str, shared: SharedPass, runs: Sequence[str], ended: threading.Event) -> None:
    wanted = {"flow_runs": {"id": {"any_": list(runs)}, "state": {"type": {"any_": ["CANCELLING"]}}}}
    while not ended.wait(EVERY):
        try:
            cancelled = [str(run["id"]) for run in pages(api, "flow_runs/filter", wanted)]
        except OSError as error:
            # the pass goes on without an answer, and the run is asked for again
            logging.getLogger(__name__).info("Prefect was not asked for cancelled runs: %s", error)
            continue
        for run in cancelled:
            shared.take_out(run, RunCancelled(CANCELLED_IN_PASS))
