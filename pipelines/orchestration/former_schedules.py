"""The schedules of `elp.yaml` under an earlier `git` of the workspace: set, changed or removed, it renames the flows.

`.elp/schedules-git.json` has the values of `git` under which this machine may have made schedules. They are noted
before the first schedule is made and removed after the last former one has ended, so that an interrupted move goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from elp_core.files import write_whole
from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts.automations import emit
from pipelines.orchestration.catch_up import missed_alert, read_late_runs, set_missed
from pipelines.orchestration.slot_deployments import SlotDeployment, delete_schedule, read_slot_deployments

_FILE = "schedules-git.json"


@dataclass(frozen=True)
class FormerDeployment:
    """A deployment with schedules of `elp.yaml`, and the workspace as it was when they were made."""

    workspace: Workspace
    deployment: SlotDeployment


def former_deployments(workspace: Workspace, api: str) -> dict[tuple[str, str], list[FormerDeployment]]:
    """Note the address of now, and return the former deployments by slot and flow. No answer raises OSError.

    The deployments of the folder are the present ones if the repository has its name.
    """
    noted = _read(workspace)
    now = workspace.settings.git
    if now not in noted:
        _write(workspace, [*noted, now])
    found: dict[tuple[str, str], list[FormerDeployment]] = {}
    if not (earlier := [git for git in noted if git != now]):
        return found
    present = {one.id for one in read_slot_deployments(workspace, api)}
    for git in earlier:
        before = replace(workspace, settings=replace(workspace.settings, git=git))
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


def forget_former(workspace: Workspace) -> None:
    """Note that only the address of now has schedules."""
    if _read(workspace) != [workspace.settings.git]:
        _write(workspace, [workspace.settings.git])


def _read(workspace: Workspace) -> list[str]:
    try:
        return [str(git) for git in json.loads((workspace.state / _FILE).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        # of an earlier release: those of the folder may be left from before `git` was set
        return [""]


def _write(workspace: Workspace, addresses: list[str]) -> None:
    write_whole(workspace.state / _FILE, json.dumps(addresses) + "\n")
