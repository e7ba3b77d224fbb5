"""The flow runs of a workspace: list them, find one by a part of its id or by its name, read its log, cancel it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from elp_core.types import Seconds
from pipelines.errors import ServiceError, UsageError
from pipelines.local.workspace import Workspace
from pipelines.orchestration.follow import read_log
from pipelines.orchestration.prefect_api import FollowedRun, deployment_name, followed_run, read_run
from pipelines.orchestration.reaper import may_start_again
from pipelines.orchestration.slot_deployments import server_now
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

SHORT = 8
"""Digits of an id that are shown."""
_PAGE = 200
_ENDS_WITHIN: Seconds = 120.0
"""How long a cancelled run may take to end: the supervision ends one without a process after 90 s."""


@dataclass(frozen=True)
class LogLine:
    """One line of a run's log."""

    at: str
    """UTC, ISO 8601."""
    level: str
    """info, warning, error …"""
    text: str


def workspace_runs(client: SyncPrefectClient, workspace: Workspace, slot: Slot | None = None) -> Iterator[FollowedRun]:
    """Yield the runs of a workspace, or of one slot of it, newest first; planned runs when their time has come."""
    from prefect.client.schemas import filters
    from prefect.client.schemas.sorting import FlowRunSort

    tags = filters.DeploymentFilterTags(all_=["elp", deployment_name(workspace)])
    # a run of this second is due; the type is Prefect's own name of a datetime
    due = cast(Any, server_now(str(client.api_url).rstrip("/")) + timedelta(seconds=1))
    begun = filters.FlowRunFilterExpectedStartTime(before_=due)
    seen = 0
    while page := client.read_flow_runs(
        deployment_filter=filters.DeploymentFilter(tags=tags),
        flow_run_filter=filters.FlowRunFilter(expected_start_time=begun),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=_PAGE,
        offset=seen,
    ):
        seen += len(page)
        for run in (followed_run(client, one) for one in page):
            # another workspace may have the same name, and so the same deployment name
            if workspace.owns(run.parameters.get("workspace")) and (slot is None or str(slot) in run.slots):
                yield run
        if len(page) < _PAGE:
            return


def find_run(client: SyncPrefectClient, workspace: Workspace, wanted: str) -> FollowedRun:
    """Return the run with this id, with an id that begins so, or the newest of this name.

    Raises UsageError if there is none, or if several ids begin so.
    """
    word = wanted.strip().lower()
    begin: list[FollowedRun] = []
    for run in workspace_runs(client, workspace):
        if run.id == word or run.name == wanted:
            return run
        if word and run.id.startswith(word):
            begin.append(run)
    if len(begin) == 1:
        return begin[0]
    if begin:
        ids = ", ".join(run.id[: len(word) + 4] for run in begin[:5])
        raise UsageError(f"{wanted!r} is the beginning of {len(begin)} ids ({ids} …); give more digits")
    raise UsageError(f"no run of {workspace.address} has the id or the name {wanted!r}; list them with: elp runs")


def run_log(client: SyncPrefectClient, run: FollowedRun) -> list[LogLine]:
    """Return a run's log, oldest first, with the tracebacks."""
    return [
        LogLine(line.timestamp.isoformat(), logging.getLevelName(line.level).lower(), line.message)
        for line in read_log(client, run.id)
    ]


def cancel_run(client: SyncPrefectClient, run: FollowedRun, message: str, every: Seconds = 0.5) -> list[FollowedRun]:
    """Cancel a run and the runs that it started; wait until they have ended, and return them.

    It is final for a run that has just crashed, too: the supervision does not start it again.

    Raises UsageError if the run has ended already, ServiceError if it has not ended within two minutes.
    """
    from prefect.client.schemas import filters
    from prefect.client.schemas.actions import LogCreate

    if run.ended and not _may_come_back(run):
        raise UsageError(f"{run.name} ({run.id[:SHORT]}) has ended already: {run.state}")
    parent = filters.FlowRunFilterParentFlowRunId(any_=[UUID(run.id)])
    children = client.read_flow_runs(flow_run_filter=filters.FlowRunFilter(parent_flow_run_id=parent), limit=_PAGE)
    # the parent first: it would see its children end and start others
    wanted = [run, *(child for child in (followed_run(client, one) for one in children) if _may_come_back(child))]
    now = cast(Any, datetime.now(UTC))
    for one in wanted:
        # in the log, too: the worker replaces the message of the state when the run has ended
        line = LogCreate(name="elp", level=logging.WARNING, message=message, timestamp=now, flow_run_id=UUID(one.id))
        client.create_logs([line])
        _request_cancel(client, one.id, message)
    started = time.monotonic()
    while True:
        found = [read_run(client, one.id) for one in wanted]
        left = ", ".join(one.name for one in found if not one.ended)
        if not left:
            return found
        if time.monotonic() - started > _ENDS_WITHIN:
            raise ServiceError(f"{left} does not end; its worker has to stop it; look at: elp status")
        time.sleep(every)


def _may_come_back(run: FollowedRun) -> bool:
    """Return whether a run has not ended, or has crashed and may be started again by the supervision."""
    return not run.ended or (run.state_type == "CRASHED" and may_start_again(run.message))


def _request_cancel(client: SyncPrefectClient, run: str, message: str) -> None:
    from prefect.states import Cancelled, Cancelling

    # never Cancelled at once: a worker that takes the run at this moment would run it all the same
    client.set_flow_run_state(UUID(run), Cancelling(message=message))
    # Prefect refuses that for a run that has crashed; in the states, this one keeps the reaper from starting it again
    if read_run(client, run).state_type == "CRASHED":
        client.set_flow_run_state(UUID(run), Cancelled(message=message))
