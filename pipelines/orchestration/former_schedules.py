"""The schedules of `elp.yaml` under an earlier address of the workspace: a changed one renames the flows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipelines.local.former_addresses import former_addresses
from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts.automations import emit
from pipelines.orchestration.catch_up import missed_alert, read_late_runs, set_missed
from pipelines.orchestration.slot_deployments import SlotDeployment, delete_schedule, read_slot_deployments


@dataclass(frozen=True)
class FormerDeployment:
    """A deployment with schedules of `elp.yaml`, and the workspace as it was when they were made."""

    workspace: Workspace
    deployment: SlotDeployment

    @property
    def paused(self) -> bool:
        """Whether a person paused it, so that its successor does not start either."""
        return self.deployment.paused or not all(schedule.active for schedule in self.deployment.declared)


def former_deployments(workspace: Workspace, api: str) -> dict[tuple[str, str], list[FormerDeployment]]:
    """Return the former deployments with schedules by slot and flow. No answer raises OSError.

    The deployments of an earlier address with the name of now may belong to the present one already.
    """
    found: dict[tuple[str, str], list[FormerDeployment]] = {}
    if not (earlier := former_addresses(workspace)):
        return found
    present = {one.id for one in read_slot_deployments(workspace, api)}
    for address in earlier:
        before = _at(workspace, address)
        for one in read_slot_deployments(before, api):
            if one.declared and one.id not in present:
                found.setdefault((one.slot, one.flow), []).append(FormerDeployment(before, one))
    return found


def end_former(workspace: Workspace, api: str, former: Iterable[FormerDeployment]) -> None:
    """Delete the schedules of former deployments; those of their runs that are due end as missed, with an alert."""
    for one in former:
        deployment = one.deployment
        # Prefect deletes the runs of a schedule that have not begun, these too
        end_due_runs(workspace, one.workspace.address, api, deployment.slot, deployment.flow)
        for schedule in deployment.declared:
            delete_schedule(api, deployment, schedule)


def end_due_runs(workspace: Workspace, address: str, api: str, slot: str, flow: str) -> None:
    """End the due runs of a slot's schedule that were planned under an earlier address as missed, with an alert.

    No answer raises OSError.
    """
    late = [run for run in read_late_runs(_at(workspace, address), api, slot) if run.flow == flow]
    if late:
        reason = f"{address} is not the address of the workspace any more"
        # before the runs end: nothing finds them afterwards
        emit(workspace, api, [missed_alert(late[-1], reason)])
        set_missed(api, late, reason)


def _at(workspace: Workspace, address: str) -> Workspace:
    # an address may be a folder, too: the name of the deployments and their owner are made of it in the same way
    return replace(workspace, settings=replace(workspace.settings, git=address))
