"""Schedules: a deployment for each scheduled slot, so that Prefect's UI shows, pauses and resumes each separately.

One deployment with a schedule for each slot would be simpler, but Prefect 3.8 forgets a schedule's parameters when its
UI pauses it, and a run would no longer know its slot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pipelines.errors import UsageError
from pipelines.local.cron_times import cron_fault, zone_fault
from pipelines.local.workspace import Workspace
from pipelines.orchestration.deployments import ensure_deployment, retrain_deployments
from pipelines.orchestration.prefect_api import find_deployment

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

ALL = "all"
"""Name of the schedule of `retrain-all`."""


@dataclass(frozen=True)
class Schedule:
    """When a slot is retrained."""

    name: str
    """SITE/TASK, or ``all``."""
    cron: str
    timezone: str
    active: bool
    next_run: str
    """UTC, ISO 8601; empty while it is paused, or not planned yet."""
    deployment: str
    """Name of its deployment in Prefect."""
    deployment_id: str
    id: str


def read_schedules(client: SyncPrefectClient, workspace: Workspace) -> list[Schedule]:
    """Return the workspace's schedules by name."""
    found = [
        Schedule(
            name=deployment.parameters.get("slot", ALL),
            cron=_timing(given.schedule),
            timezone=getattr(given.schedule, "timezone", None) or "UTC",
            active=given.active,
            next_run=_next_run(client, deployment.id) if given.active else "",
            deployment=deployment.name,
            deployment_id=str(deployment.id),
            id=str(given.id),
        )
        for deployment in retrain_deployments(client, workspace)
        for given in deployment.schedules
    ]
    return sorted(found, key=lambda schedule: schedule.name)


def set_schedule(
    client: SyncPrefectClient, workspace: Workspace, name: str, timezone: str, cron: str = "", every: float = 0.0
) -> None:
    """Make a schedule, or change the one of the same name (SITE/TASK, or ``all``); `every` is seconds between runs.

    Raises UsageError if the timing is not that of `require_cron`, Prefect cannot read it or the time zone is unknown.
    """
    import pydantic
    from prefect.client.schemas.schedules import construct_schedule

    if cron or not every:
        require_cron(cron)
    if fault := zone_fault(timezone):
        raise UsageError(fault)
    try:
        timing = construct_schedule(interval=every or None, cron=cron or None, timezone=timezone)
    except pydantic.ValidationError as error:
        reason = "; ".join(fault["msg"] for fault in error.errors())
        raise UsageError(f"{reason}; expected minute hour day month weekday, such as '0 3 * * *'") from error
    deployment = find_deployment(client, "retrain-all" if name == ALL else "retrain", workspace)
    if name != ALL:
        deployment = ensure_deployment(client, workspace, "retrain", name)
    if not deployment.schedules:
        client.create_deployment_schedules(deployment.id, [(timing, True)])
        return
    first, *surplus = deployment.schedules
    client.update_deployment_schedule(deployment.id, first.id, active=True, schedule=timing)
    for other in surplus:
        client.delete_deployment_schedule(deployment.id, other.id)


def require_cron(cron: str) -> None:
    """Raise UsageError unless `cron` has five fields and a date that exists; names such as MON and JAN are allowed."""
    if fault := cron_fault(cron):
        raise UsageError(fault)


def set_active(client: SyncPrefectClient, workspace: Workspace, name: str, active: bool) -> None:
    """Pause or resume a schedule; raises UsageError if there is none of this name."""
    for schedule in _named(client, workspace, name):
        client.update_deployment_schedule(UUID(schedule.deployment_id), UUID(schedule.id), active=active)


def remove_schedule(client: SyncPrefectClient, workspace: Workspace, name: str) -> None:
    """Remove a schedule and its planned runs; past runs stay. Raises UsageError if there is none of this name."""
    for schedule in _named(client, workspace, name):
        client.delete_deployment_schedule(UUID(schedule.deployment_id), UUID(schedule.id))


def _named(client: SyncPrefectClient, workspace: Workspace, name: str) -> list[Schedule]:
    every = read_schedules(client, workspace)
    if found := [schedule for schedule in every if schedule.name == name]:
        return found
    known = ", ".join(sorted({schedule.name for schedule in every})) or "none at all"
    raise UsageError(
        f"{name} has no schedule (there is: {known}); make one with: elp schedule add {name} --cron '0 3 * * *'"
    )


def _next_run(client: SyncPrefectClient, deployment_id: UUID) -> str:
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    planned = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
    runs = client.read_flow_runs(
        deployment_filter=filters.DeploymentFilter(id=filters.DeploymentFilterId(any_=[deployment_id])),
        flow_run_filter=filters.FlowRunFilter(state=planned),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=50,
    )
    # runs that a person planned are among them
    first = next((run.expected_start_time for run in runs if run.auto_scheduled), None)
    return first.isoformat().replace("+00:00", "Z") if first else ""


def _timing(schedule: Any) -> str:
    """Return the cron expression, or the text of an interval or a rule that was set in the UI."""
    if hasattr(schedule, "interval"):
        return f"every {schedule.interval.total_seconds():.0f} s"
    return str(getattr(schedule, "cron", None) or schedule.rrule)
