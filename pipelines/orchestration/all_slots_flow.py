"""The flow over all slots: one run of `retrain` for each, side by side as far as there are workers."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from pipelines.orchestration import tasks
from pipelines.orchestration.artifacts import publish_outcome
from pipelines.orchestration.outcomes import concluded_all


@flow(name="retrain-all", flow_run_name="retrain all slots", persist_result=False)
def retrain_all(workspace: str, deployment: str, slots: list[str] | None = None) -> State[Any]:
    """Retrain every slot that has data, each in a flow run of its own on the training pool, and wait for all.

    This run waits on the data pool: on the training pool it would hold the place that its own children need.

    Args:
        workspace: Folder of the workspace.
        deployment: Deployment that retrains one slot, `retrain/<name>`.
        slots: Only these (SITE/TASK each); empty means all.
    """
    chosen = slots or tasks.slots_with_data(workspace)
    runs = [
        future.result()
        for future in [tasks.retrain_in_a_run_of_its_own.submit(deployment, workspace, slot) for slot in chosen]
    ]
    rows = {run["slot"]: f"{run['state']}: {run['message']}" for run in runs}
    publish_outcome("retrain-all", None, rows, f"{len(runs)} slot(s) retrained")
    return concluded_all(runs)
