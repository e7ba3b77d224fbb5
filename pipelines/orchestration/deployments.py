"""The flows as Prefect deployments: which pool each runs on, and what every run is told."""

from __future__ import annotations

from typing import Any

from pipelines.local.environment import OFFLINE
from pipelines.local.service_commands import POOLS
from pipelines.local.workspace import Workspace
from pipelines.orchestration.prefect_api import call, deployment_name, find_deployment, refuse_foreign
from pipelines.orchestration.schedules import refresh

FLOWS = {
    "ingest": ("pipelines.orchestration.slot_flows.ingest", "elp-cpu"),
    "train": ("pipelines.orchestration.slot_flows.train", "elp-gpu"),
    "gate": ("pipelines.orchestration.slot_flows.gate", "elp-gpu"),
    "retrain": ("pipelines.orchestration.slot_flows.retrain", "elp-gpu"),
    "retrain-all": ("pipelines.orchestration.all_slots_flow.retrain_all", "elp-cpu"),
}
"""Flow -> (where it is, its pool). By module, so a worker needs this package installed and no copy of its source."""


def register(workspace: Workspace, api: str) -> None:
    """Make the work pools and a deployment of each flow for this workspace; what is there is brought up to date.

    Schedules of an existing deployment stay as they are.

    Args:
        workspace: Its folder's name is the deployments' name.
        api: Address of the Prefect API.

    Raises:
        ServiceError: where Prefect does not answer, or the name belongs to another workspace.
    """
    for pool, description in POOLS.items():
        _ensure_pool(api, pool, description)
    for name in FLOWS:
        _ensure_deployment(api, name, workspace)
    refresh(api, workspace, find_deployment(api, "retrain", workspace))


def _ensure_pool(api: str, pool: str, description: str) -> None:
    from prefect.workers.process import ProcessWorker

    try:
        call(api, f"/work_pools/{pool}")
    except LookupError:
        template = ProcessWorker.get_default_base_job_template()
        body = {"name": pool, "type": "process", "description": description, "base_job_template": template}
        call(api, "/work_pools/", body)


def _ensure_deployment(api: str, name: str, workspace: Workspace) -> None:
    entrypoint, pool = FLOWS[name]
    body = _deployment(name, entrypoint, pool, workspace)
    try:
        present = call(api, f"/deployments/name/{name}/{body['name']}")
    except LookupError:
        flow_id = call(api, "/flows/", {"name": name, "tags": ["elp"]})["id"]
        call(api, "/deployments/", {**body, "flow_id": flow_id})
        return
    refuse_foreign(present, workspace)
    changed = {key: value for key, value in body.items() if key != "name" and present.get(key) != value}
    if changed:
        # a PATCH: creating it again would drop its schedules
        call(api, f"/deployments/{present['id']}", changed, "PATCH")


def _deployment(name: str, entrypoint: str, pool: str, workspace: Workspace) -> dict[str, Any]:
    import importlib

    from prefect.utilities.callables import parameter_schema

    module, _, attribute = entrypoint.rpartition(".")
    function = getattr(importlib.import_module(module), attribute)
    mine = deployment_name(workspace)
    parameters = {"workspace": str(workspace.root)}
    if name == "retrain-all":
        parameters["deployment"] = f"retrain/{mine}"
    return {
        "name": mine,
        "entrypoint": entrypoint,
        "description": (function.description or "").split("\n\nArgs:")[0],
        "work_pool_name": pool,
        "parameters": parameters,
        "parameter_openapi_schema": parameter_schema(function.fn).model_dump_for_openapi(),
        "enforce_parameter_schema": True,
        "job_variables": {"env": dict(OFFLINE)},
        "tags": ["elp", mine],
    }
