"""Schedules that a person makes: a deployment for each scheduled slot, so that Prefect's UI pauses each separately.

One deployment with a schedule for each slot would be simpler, but Prefect 3.8 forgets a schedule's parameters when its
UI pauses it, and a run would no longer know its slot. Schedules of `elp.yaml` (`schedule_apply`) are on the same
deployments; they can be paused and resumed here, and are changed in `elp.yaml`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from pipelines.errors import UsageError
from pipelines.local.cron_times import cron_fault, zone_fault
from pipelines.local.workspace import Workspace
from pipelines.orchestration.deployments import ensure_deployment, scheduled_deployments
from pipelines.orchestration.prefect_api import find_deployment
from pipelines.orchestration.slot_deployments import ALL, SLUG

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import DeploymentSchedule as PrefectSchedule


def set_schedule(
    client: SyncPrefectClient,
    workspace: Workspace,
    name: str,
    timezone: str,
    cron: str = "",
    every: float = 0.0,
    flow: str = "retrain",
) -> None:
    """Make a schedule, or change the one of the same name (SITE/TASK, or ``all``); `every` is seconds between runs.

    Raises UsageError if the timing is not that of `require_cron`, Prefect cannot read it or the time zone is unknown,
    or if all slots are named for another flow than `retrain`.
    """
    import pydantic
    from prefect.client.schemas.schedules import construct_schedule

    if name == ALL and flow != "retrain":
        raise UsageError(f"a schedule of {flow} is for one slot, got {ALL}; for many slots: schedules in elp.yaml")
    if cron or not every:
        require_cron(cron)
    if fault := zone_fault(timezone):
        raise UsageError(fault)
    try:
        timing = construct_schedule(interval=every or None, cron=cron or None, timezone=timezone)
    except pydantic.ValidationError as error:
        reason = "; ".join(fault["msg"] for fault in error.errors())
        raise UsageError(f"{reason}; expected minute hour day month weekday, such as '0 3 * * *'") from error
    deployment = find_deployment(client, "retrain-all" if name == ALL else flow, workspace)
    if name != ALL:
        deployment = ensure_deployment(client, workspace, flow, name)
    made = [schedule for schedule in deployment.schedules if not _declared(schedule)]
    if not made:
        client.create_deployment_schedules(deployment.id, [(timing, True)])
        return
    first, *surplus = made
    client.update_deployment_schedule(deployment.id, first.id, active=True, schedule=timing)
    for other in surplus:
        client.delete_deployment_schedule(deployment.id, other.id)


def require_cron(cron: str) -> None:
    """Raise UsageError unless `cron` has five fields and a date that exists; names such as MON and JAN are allowed."""
    if fault := cron_fault(cron):
        raise UsageError(fault)


def set_active(client: SyncPrefectClient, workspace: Workspace, name: str, active: bool, flow: str = "retrain") -> None:
    """Pause or resume the schedules of a slot (or ``all``); raises UsageError if there is none of this name."""
    for deployment, schedule in _named(client, workspace, name, flow):
        client.update_deployment_schedule(deployment, schedule.id, active=active)


def remove_schedule(client: SyncPrefectClient, workspace: Workspace, name: str, flow: str = "retrain") -> None:
    """Remove a schedule that a person made, and its planned runs; past runs stay.

    Raises UsageError if there is none of this name, or only one of `elp.yaml`.
    """
    found = _named(client, workspace, name, flow)
    made = [(deployment, schedule) for deployment, schedule in found if not _declared(schedule)]
    if not made:
        entry = (found[0][1].slug or "").removeprefix(SLUG)
        raise UsageError(
            f"the schedule of {name} is that of schedules.{entry} in elp.yaml; take it out there, then run: "
            f"elp schedule apply; or pause it: elp schedule pause {name}"
        )
    for deployment, schedule in made:
        client.delete_deployment_schedule(deployment, schedule.id)


def _declared(schedule: PrefectSchedule) -> bool:
    return (schedule.slug or "").startswith(SLUG)


def _named(client: SyncPrefectClient, workspace: Workspace, name: str, flow: str) -> list[tuple[UUID, PrefectSchedule]]:
    every = scheduled_deployments(client, workspace, flow)
    of_name = [one for one in every if one.parameters.get("slot", ALL) == name]
    if found := [(one.id, schedule) for one in of_name for schedule in one.schedules]:
        return found
    names = sorted({one.parameters.get("slot", ALL) for one in every if one.schedules})
    known = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "") or "none at all"
    raise UsageError(
        f"{name} has no schedule of {flow} (there is: {known}); make one with: elp schedule add {name} "
        f"--cron '0 3 * * *'{'' if flow == 'retrain' else f' --flow {flow}'}"
    )
