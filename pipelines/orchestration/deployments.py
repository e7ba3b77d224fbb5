"""The flows as Prefect deployments: which pool each runs on, and the parameters that every run gets."""

from __future__ import annotations

import contextlib
import functools
import importlib
from typing import TYPE_CHECKING, Any

from pipelines.errors import ServiceError, WorkspaceError
from pipelines.local.environment import OFFLINE
from pipelines.local.former_addresses import may_take_over, note_address
from pipelines.local.gpu_need import ensure_queues, slot_queue
from pipelines.local.schedule_settings import SCHEDULED_FLOWS
from pipelines.local.service_commands import POOLS, workspace_queue
from pipelines.local.worker_plan import CPU_POOL, GPU_POOL
from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts.alert_channels import read_channels, wanted_kinds
from pipelines.orchestration.alerts.automations import ensure_automations
from pipelines.orchestration.catch_up import end_late_runs
from pipelines.orchestration.former_schedules import end_due_runs
from pipelines.orchestration.lost_runs import HEARTBEAT
from pipelines.orchestration.prefect_api import (
    connect_prefect,
    deployment_name,
    require_owner,
    run_parameters,
    step_of_same_workspace,
)
from pipelines.orchestration.retrain_request import ensure_retrain_automation
from pipelines.orchestration.schedule_apply import read_applied
from pipelines.orchestration.slot_deployments import MONITOR, MONITOR_TAG, rest_errors, slot_deployment_name
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

FLOWS = {
    "ingest": CPU_POOL,
    "train": GPU_POOL,
    "gate": GPU_POOL,
    "retrain": GPU_POOL,
    "retrain-all": CPU_POOL,
    # some hundred short recordings; a GPU is for trainings
    MONITOR: CPU_POOL,
    "tune": GPU_POOL,
    "migrate": GPU_POOL,
}
"""Flow -> its pool."""


def register_deployments(workspace: Workspace, api: str) -> None:
    """Make the work pools and a deployment of each flow for this workspace, or bring them up to date.

    The automations of the alerts are made, too. Schedules of an existing deployment stay, also if the workspace had
    another address when it was made.

    Raises ServiceError if the name belongs to another workspace.
    """
    note_address(workspace)
    with connect_prefect(workspace, api) as client:
        # imported inside: importing Prefect needs the preparations of `connect_prefect`
        from prefect.client.schemas.actions import WorkPoolCreate
        from prefect.exceptions import ObjectAlreadyExists
        from prefect.workers.process import ProcessWorker

        template = ProcessWorker.get_default_base_job_template()
        for name, text in POOLS.items():
            pool = WorkPoolCreate(name=name, type="process", description=text, base_job_template=template)
            with contextlib.suppress(ObjectAlreadyExists):
                client.create_work_pool(pool)
        ensure_queues(api, GPU_POOL)
        ensure_queues(api, CPU_POOL, [workspace_queue(workspace)])
        for flow in FLOWS:
            ensure_deployment(client, workspace, flow)
        for flow in SCHEDULED_FLOWS:
            for deployment in scheduled_deployments(client, workspace, flow, former=True):
                slot = deployment.parameters.get("slot")
                # hundreds of slots are compared in a second, and updated in a minute
                if slot and _differs(deployment, deployment_content(workspace, flow, slot)):
                    if not workspace.owns(owner := str(deployment.parameters.get("workspace", ""))):
                        with rest_errors(api):
                            end_due_runs(workspace, owner, api, slot, flow)
                    ensure_deployment(client, workspace, flow, slot)
        ensure_automations(client, workspace, wanted_kinds(read_channels(workspace).values()))
        ensure_retrain_automation(client, workspace)
    try:
        entries = read_applied(workspace)
    except WorkspaceError:
        # the supervision names the fault; `elp schedule apply`, which repairs it, needs the server that starts here
        return
    if entries:
        # before the workers start: they would take the oldest of the late runs
        with rest_errors(api):
            end_late_runs(workspace, api, entries, lambda text: None)


def refuse_shared_prefect(workspace: Workspace, api: str) -> None:
    """Raise ServiceError if a Prefect server elsewhere has another workspace, and MLflow is this one's own.

    Workers take the runs of both, and register what they train at the MLflow server that they know.
    """
    servers = workspace.settings.servers
    if not servers.prefect_api or servers.mlflow_uri:
        return
    with connect_prefect(workspace, api) as client:
        from prefect.client.schemas import filters

        # of each workspace one
        trainings = filters.FlowFilter(name=filters.FlowFilterName(any_=["train"]))
        for found in client.read_deployments(flow_filter=trainings):
            owner = str(found.parameters.get("workspace", ""))
            if "elp" not in found.tags or not owner or workspace.owns(owner):
                continue
            if found.name != deployment_name(workspace) or not may_take_over(workspace, owner):
                raise ServiceError(
                    f"the Prefect server at {servers.prefect_api} has the runs of the workspace {owner}, too, and this "
                    "workspace has an MLflow server of its own: a worker would register a run of one at the server of "
                    "the other. Give this workspace its own Prefect server, or name one MLflow server for both in "
                    f"servers.mlflow_uri; {step_of_same_workspace(workspace, 'train', found.name, owner)}"
                )


def ensure_deployment(client: SyncPrefectClient, workspace: Workspace, flow: str, slot: str = "") -> DeploymentResponse:
    """Make a flow's deployment (for a schedule: that of one slot), or bring it up to date; return it.

    One that the workspace made under an earlier address is taken over.

    Raises ServiceError if the name belongs to another workspace.
    """
    from prefect.client.schemas.actions import DeploymentUpdate
    from prefect.exceptions import ObjectNotFound

    content = deployment_content(workspace, flow, slot)
    name = content.pop("name")
    try:
        present = client.read_deployment_by_name(f"{flow}/{name}")
    except ObjectNotFound:
        client.create_deployment(client.create_flow_from_name(flow), name, **content)
    else:
        owner = str(present.parameters.get("workspace", workspace.address))
        if not may_take_over(workspace, owner):
            require_owner(workspace, flow, name, owner)
        # an update, since making it again would drop its schedules
        client.update_deployment(present.id, DeploymentUpdate(**content))
    return client.read_deployment_by_name(f"{flow}/{name}")


def deployment_content(workspace: Workspace, flow: str, slot: str = "") -> dict[str, Any]:
    """Return what a deployment holds except its schedules."""
    attribute, base = flow.replace("-", "_"), deployment_name(workspace)
    module, function = _module(attribute), _function(attribute)
    parameters = run_parameters(workspace)
    if flow == "retrain-all":
        parameters["deployment"] = f"retrain/{base}"
    return {
        "name": slot_deployment_name(base, slot) if slot else base,
        # by module, so a worker needs this package installed and no copy of its source
        "entrypoint": f"{module}.{attribute}",
        "description": (function.description or "").split("\n\nArgs:")[0],
        "work_pool_name": FLOWS[flow],
        **({"work_queue_name": queue} if (queue := _queue(workspace, flow, slot)) else {}),
        "parameters": parameters | ({"slot": slot} if slot else {}),
        "parameter_openapi_schema": _schema(attribute),
        "enforce_parameter_schema": True,
        # the reaper knows a dead run by its missing heartbeats; Prefect's own default is one every 180 s
        "job_variables": {"env": {**OFFLINE, "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(round(HEARTBEAT))}},
        "tags": ["elp", base, *([MONITOR_TAG] if flow == MONITOR else []), *([slot] if slot else [])],
    }


def _queue(workspace: Workspace, flow: str, slot: str) -> str:
    """Return the work queue of a deployment; empty for the first one of its pool."""
    if flow == MONITOR:
        # the looks are kept in the folder of the workspace
        return workspace_queue(workspace)
    return slot_queue(workspace.settings, [Slot.parse(slot)]) if slot and FLOWS[flow] == GPU_POOL else ""


def _module(function: str) -> str:
    """Return the name of the module of a flow."""
    return f"{__package__}.{f'{function}_flow' if function in ('tune', 'migrate') else 'flows'}"


def _function(function: str) -> Flow[..., Any]:
    """Return a flow by the name of its function."""
    found: Flow[..., Any] = getattr(importlib.import_module(_module(function)), function)
    return found


@functools.cache
def _schema(function: str) -> dict[str, Any]:
    """Return the schema of the parameters of a flow."""
    from prefect.utilities.callables import parameter_schema

    return parameter_schema(_function(function).fn).model_dump_for_openapi()


def _differs(present: DeploymentResponse, content: dict[str, Any]) -> bool:
    """Return whether a deployment holds something else than it should."""
    return any(getattr(present, name) != value for name, value in content.items())


def scheduled_deployments(
    client: SyncPrefectClient, workspace: Workspace, flow: str, former: bool = False
) -> list[DeploymentResponse]:
    """Return the workspace's deployments that a schedule can have: of a flow, of all slots, and of single slots.

    Also those of the same name that it made under a `former` address.
    """
    from prefect.client.schemas import filters

    wanted = filters.DeploymentFilter(tags=filters.DeploymentFilterTags(all_=["elp", deployment_name(workspace)]))
    named = filters.FlowFilter(name=filters.FlowFilterName(any_=[flow, *(["retrain-all"] * (flow == "retrain"))]))
    every: list[DeploymentResponse] = []
    while page := client.read_deployments(deployment_filter=wanted, flow_filter=named, offset=len(every)):
        every += page
    # another workspace may have the same name, and so the same deployment name
    owners = [(d, str(d.parameters.get("workspace", ""))) for d in every]
    return [d for d, owner in owners if workspace.owns(owner) or (former and may_take_over(workspace, owner))]
