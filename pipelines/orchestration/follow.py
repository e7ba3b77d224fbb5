"""Following a run: its log lines and changes of state as they come, until it ends."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from elp_core.types import Seconds
from pipelines.errors import ServiceError
from pipelines.orchestration.prefect_api import FollowedRun, prefect_errors, read_run
from pipelines.orchestration.progress_artifact import read_progress
from pipelines.orchestration.reaper import STARTS_WITHIN, may_start_again

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import Log as PrefectLog

Log = Callable[[str], None]

_PATIENCE: Seconds = 30.0
"""How long a run may wait for a worker before that is reported."""
_OUTAGE: Seconds = 180.0
"""How long Prefect may be silent before following ends."""
_NOISE = (
    "Finished in state", "Downloading flow code", "Beginning flow run", "View at ", "Worker '", "Flow run '",
    # the run's last message says it again
    "Encountered exception during execution", "Engine execution exited with unexpected exception",
)  # fmt: skip
"""Starts of Prefect's own lines that do not help a person who follows one run."""
_EPOCH = re.compile(r"(^|: )epoch \d+, step ")
"""The line that training logs after an epoch: the display of the progress has its numbers."""
_PAGE = 200
"""Log lines in one answer, Prefect's limit."""


def follow(
    client: SyncPrefectClient,
    run: FollowedRun,
    pool: str,
    log: Log,
    every: Seconds = 0.5,
    last: Seconds = 0.5,
    show: Callable[[float, str], None] | None = None,
) -> FollowedRun:
    """Report a run's log and states to `log` until it has ended. The run continues if following stops.

    `show` gets the percentage and the line of the present step, and then the lines of epochs are not logged.

    Prefect is asked `every` second; a run that has ended must send a line within `last` seconds, or following ends; one
    that crashes has a minute to be started again. If no worker of `pool` takes the run, that is reported. Raises
    ServiceError if Prefect is silent for three minutes.
    """
    seen, state, reported = 0, "", False
    crashed: Seconds | None = None
    started = answered = time.monotonic()
    while True:
        try:
            with prefect_errors(str(client.api_url)):
                run = read_run(client, run.id)
                seen += _report(client, run.id, seen, log, bool(show))
                if show and (found := read_progress(client, run.id)):
                    show(*found)
                if run.state_type != "CRASHED":
                    crashed = None
                # one that had crashed before is not waited for
                elif crashed is None and state:
                    crashed = time.monotonic()
                while run.ended and not _starts_again(run, crashed):
                    # a run's last lines come after its final state: it sends what it has every 0.3 s
                    time.sleep(last)
                    if not (new := _report(client, run.id, seen, log, bool(show))):
                        return run
                    seen += new
            answered = time.monotonic()
        except ServiceError:
            if time.monotonic() - answered > _OUTAGE:
                raise
            time.sleep(every)
            continue
        if run.state != state:
            log(f"{run.name}: {run.state}")
            state = run.state
        waiting = run.state_type in {"SCHEDULED", "PENDING"} and time.monotonic() - started > _PATIENCE
        if waiting and not reported:
            workers = client.read_workers_for_work_pool(pool)
            if any(worker.status == "ONLINE" for worker in workers):
                log(f"still waiting for a free worker of {pool}; it is busy with other runs (see: elp status)")
            else:
                log(f"no worker of {pool} is online, so nothing will run; start one with: elp up")
            reported = True
        time.sleep(every)


def _starts_again(run: FollowedRun, crashed: Seconds | None) -> bool:
    """Return whether a run that has crashed at a moment may still be started again by the supervision."""
    return crashed is not None and may_start_again(run.message) and time.monotonic() - crashed < STARTS_WITHIN


def read_log(client: SyncPrefectClient, run_id: str, seen: int = 0) -> Iterator[PrefectLog]:
    """Yield the lines of a run's log after the first `seen`, oldest first."""
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
    from prefect.client.schemas.sorting import LogSort

    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(run_id)]))
    while True:
        lines = client.read_logs(wanted, limit=_PAGE, offset=seen, sort=LogSort.TIMESTAMP_ASC)
        yield from lines
        seen += len(lines)
        if len(lines) < _PAGE:
            return


def _report(client: SyncPrefectClient, run_id: str, seen: int, log: Log, shown: bool) -> int:
    """Pass on the log lines that are new; return their number."""
    import logging

    count = 0
    for line in read_log(client, run_id, seen):
        count += 1
        if not line.message.startswith(_NOISE) and not (shown and _EPOCH.search(line.message)):
            # the traceback stays in Prefect's UI
            text = line.message.split("\nTraceback (most recent call last)")[0]
            log(text if line.level == logging.INFO else f"{logging.getLevelName(line.level).lower()}: {text}")
    return count
