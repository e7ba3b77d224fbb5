"""The progress of a run over several slots: how many runs of slots have ended, and what the others do now."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from elp_core.types import Seconds
from pipelines.number_text import count
from pipelines.orchestration.progress_artifact import published_progress, read_progress
from pipelines.orchestration.run_outcome import SlotRun

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.futures import PrefectFuture

_EVERY: Seconds = 3.0
"""Time between two looks at the runs of the slots."""
_SHOWN = 2
"""Runs whose present step is shown; a line has no room for more."""


def wait_for_slots(futures: Sequence[PrefectFuture[list[SlotRun]]]) -> None:
    """Wait until the run of each slot, or group of slots, has ended in any way, and publish how far they are."""
    ended: queue.SimpleQueue[object] = queue.SimpleQueue()
    for future in futures:
        future.add_done_callback(ended.put)
    left = len(futures)
    with published_progress("retrain", "slots") as report:
        while left:
            if report:
                report(len(futures) - left, len(futures), _now())
            with suppress(queue.Empty):
                ended.get(timeout=_EVERY)
                left -= 1
        if report:
            report(len(futures), len(futures), "")


def _now() -> str:
    """Return what the runs of the slots do at this moment; empty if Prefect does not say."""
    import httpx
    from prefect import get_client
    from prefect.exceptions import PrefectException
    from prefect.runtime import flow_run

    # the runs continue without a display
    with suppress(httpx.HTTPError, PrefectException), get_client(sync_client=True) as client:
        return slots_at_work(client, str(flow_run.get_id()))
    return ""


def slots_at_work(client: SyncPrefectClient, parent: str) -> str:
    """Return the present step of the runs that a run has started, such as ``a/asr training: 120/480 steps, 8.2/s``."""
    lines = list(_steps(client, parent))
    more = [f"{count(len(lines) - _SHOWN, 'more slot')} at work"] if len(lines) > _SHOWN else []
    return "; ".join([*lines[:_SHOWN], *more])


def _steps(client: SyncPrefectClient, parent: str) -> Iterator[str]:
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    running = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=[StateType.RUNNING]))
    started = filters.FlowRunFilterParentFlowRunId(any_=[UUID(parent)])
    wanted = filters.FlowRunFilter(parent_flow_run_id=started, state=running)
    for run in client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_ASC):
        found = read_progress(client, str(run.id))
        slot = str(run.parameters.get("slot", run.name))
        yield f"{slot} {found[1]}" if found else f"{slot} began"
