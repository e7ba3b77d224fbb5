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


def former_deployments(workspace: Workspace, api: str) -> dict[tuple[str, str], list[FormerDeployment]]:
    """Return the former deployments with schedules by slot and flow. No answer raises OSError.

    The deployments of an earlier address with the name of now may belong to the present one already.
    """
    found: dict[tuple[str, str], list[FormerDeployment]] = {}
    if not (earlier := former_addresses(workspace)):
        return found
    present = {one.id for one in read_slot_deployments(workspace, api)}
    for address in earlier:
        # an address may be a folder, too: the name of the deployments and their owner are made of it in the same way
        before = replace(workspace, settings=replace(workspace.settings, git=address))
        for one in read_slot_deployments(before, api):
            if one.declared and one.id not in present:
                found.setdefault((one.slot, one.flow), []).append(FormerDeployment(before, one))
    return found


def end_former(workspace: Workspace, api: str, former: Iterable[FormerDeployment]) -> None:
    """Delete the schedules of former deployments; those of their runs that are due end as missed, with an alert."""
    for one in former:
        deployment, reason = one.deployment, f"{one.workspace.address} is not the address of the workspace any more"
        late = [r for r in read_late_runs(one.workspace, api, deployment.slot) if r.flow == deployment.flow]
        if late:
            # Prefect deletes the runs of a schedule that have not begun, these too
            set_missed(api, late, reason)
            emit(workspace, api, [missed_alert(late[-1], reason)])
        for schedule in deployment.declared:
            delete_schedule(api, deployment, schedule)
