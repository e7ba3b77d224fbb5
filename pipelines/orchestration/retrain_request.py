"""A retraining that the monitor asks for: an event in Prefect, and the automation that starts `retrain` because of it.

The event names the deployment of the slot, so the automation needs no parameter to start the right run in the right
work queue. A person who pauses the automation in Prefect's pages stops these retrainings, and no others. Prefect fires
an automation once and reports nothing if that fails, so the run is looked for: a request without a run is recorded as
such, and is made again by a later look. Checked with Prefect 3.8.8.
"""

from __future__ import annotations

import time
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from elp_core.types import Seconds
from pipelines.local.addresses import prefect_api, prefect_pages
from pipelines.local.git_server import pushed_revision
from pipelines.local.prefect_request import prefect_request
from pipelines.local.workspace import Workspace
from pipelines.monitoring.retrain_decision import RetrainDecision
from pipelines.orchestration.prefect_api import connect_prefect, deployment_name
from pipelines.orchestration.slot_deployments import patient_request, rest_errors, server_now
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import Automation

WANTED = "elp.retrain.wanted"
"""Name of the event."""
PATIENCE: Seconds = 60.0
"""How long the run of a request is looked for; the automation takes one to two seconds."""
_PAUSE: Seconds = 0.5
_NEWEST = 200


@dataclass(frozen=True)
class RetrainRequest:
    """What came of a request."""

    decision: RetrainDecision
    run: str = ""
    """Address of the page of the run; empty without one."""


def retrain_automation_name(workspace: Workspace) -> str:
    """Return the name of the automation."""
    return f"elp retrains {deployment_name(workspace)} after a look of the monitor"


def ensure_retrain_automation(client: SyncPrefectClient, workspace: Workspace) -> Automation:
    """Make the automation if it is missing, and return it; one that a person paused stays paused."""
    from prefect.events.actions import RunDeployment
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    name = retrain_automation_name(workspace)
    present = client.read_automations_by_name(name)
    for surplus in present[1:]:
        client.delete_automation(surplus.id)
    if present:
        return present[0]
    trigger = EventTrigger(
        expect={WANTED},
        match={"prefect.resource.id": _resource(workspace)},
        # without it, events of two slots in one moment would be one
        for_each={"elp.request"},
        posture=Posture.Reactive,
        threshold=1,
    )
    about = "It starts retrain for a slot whose site has changed (elp monitor). Pause it to stop such retrainings."
    given = {"__prefect_kind": "jinja", "template": "{{ event.payload.revision }}"}
    action = RunDeployment(source="inferred", deployment_id=None, parameters={"revision": given}, job_variables=None)
    client.create_automation(AutomationCore(name=name, description=about, trigger=trigger, actions=[action]))
    return client.read_automations_by_name(name)[0]


def request_retraining(
    workspace: Workspace, slot: Slot, decision: RetrainDecision, patience: Seconds = PATIENCE
) -> RetrainRequest:
    """Ask for the retraining that a decision wants, and return what came of it.

    Raises:
        ServiceError: Prefect does not answer.
    """
    from pipelines.orchestration.deployments import ensure_deployment

    api = prefect_api(workspace)
    with connect_prefect(workspace, api) as client:
        automation = ensure_retrain_automation(client, workspace)
        if not automation.enabled:
            reason = f"the automation {automation.name!r} is paused in Prefect"
            return RetrainRequest(RetrainDecision("held back", (*decision.reasons, reason)))
        deployment = str(ensure_deployment(client, workspace, "retrain", str(slot)).id)
    revision = pushed_revision(workspace) if workspace.settings.git else ""
    with rest_errors(api):
        # not by time: the clocks of two machines differ
        before = _automatic_runs(api, deployment)
        event = _event(workspace, api, slot, deployment, decision.reasons, revision)
        prefect_request(f"{api}/events", [event], timeout=15.0)
        run = _started_run(api, deployment, before, patience)
    if not run:
        reason = f"no run was seen within {patience:.0f} s; look at the automation {automation.name!r} in Prefect"
        return RetrainRequest(replace(decision, outcome="asked", reasons=(*decision.reasons, reason)))
    return RetrainRequest(decision, f"{prefect_pages(workspace, api)}/runs/flow-run/{run}")


def _event(
    workspace: Workspace, api: str, slot: Slot, deployment: str, reasons: Sequence[str], revision: str
) -> dict[str, Any]:
    id_ = str(uuid4())
    return {
        "id": id_,
        "occurred": server_now(api).isoformat(),
        "event": WANTED,
        "resource": {
            "prefect.resource.id": _resource(workspace),
            "prefect.resource.name": str(slot),
            "elp.request": id_,
        },
        "related": [
            {"prefect.resource.id": f"prefect.deployment.{deployment}", "prefect.resource.role": "deployment"},
            {"prefect.resource.id": f"prefect.tag.{slot}", "prefect.resource.role": "tag"},
        ],
        "payload": {"slot": str(slot), "reasons": list(reasons), "revision": revision},
    }


def _started_run(api: str, deployment: str, before: Set[str], patience: Seconds) -> str:
    """Return the id of a run that an automation made of a deployment and that was not there before; empty without."""
    ends = time.monotonic() + patience
    while True:
        if new := _automatic_runs(api, deployment) - before:
            return min(new)
        if time.monotonic() > ends:
            return ""
        time.sleep(_PAUSE)


def _automatic_runs(api: str, deployment: str) -> set[str]:
    """Return the ids of the newest runs that automations made of a deployment."""
    body = {"deployments": {"id": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": _NEWEST}
    found = patient_request(f"{api}/flow_runs/filter", body)
    return {str(run["id"]) for run in found if (run.get("created_by") or {}).get("type") == "AUTOMATION"}


def _resource(workspace: Workspace) -> str:
    return f"elp.workspace.{deployment_name(workspace)}"
