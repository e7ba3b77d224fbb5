from __future__ import annotations

import asyncio
import importlib
import sys

import pytest

from pipelines.errors import DataRefused, ServiceError
from pipelines.local.workspace import Workspace
from pipelines.orchestration import deployments, tasks


@pytest.mark.parametrize(("error", "again"), [(ServiceError("gone"), True), (DataRefused("a/asr", ["bad"]), False)])
def test_only_a_server_that_is_gone_is_tried_again(error: Exception, again: bool) -> None:
    from prefect.states import Failed

    judged = asyncio.run(tasks.servers_gone(tasks.gate_slot, None, Failed(data=error)))
    assert judged is again


def test_slots_with_data_are_those_with_deliveries_waiting_too(workspace: Workspace) -> None:
    (workspace.root / "inbox" / "plant-a" / "asr").mkdir(parents=True)
    assert tasks.slots_to_train.fn(workspace) == ["plant-a/asr"]


def test_every_flow_is_where_its_deployment_says(workspace: Workspace) -> None:
    for name in deployments.FLOWS:
        content = deployments.deployment_content(workspace, name)
        module, _, attribute = content["entrypoint"].rpartition(".")
        assert getattr(importlib.import_module(module), attribute).name == name
        assert content["parameter_openapi_schema"]["properties"]["workspace"]["type"] == "string"


def test_the_deployment_of_a_scheduled_slot_is_that_of_retrain_with_the_slot(workspace: Workspace) -> None:
    base, own = (deployments.deployment_content(workspace, "retrain", slot) for slot in ("", "plant-a/asr"))
    assert own["name"] == f"{base['name']}-plant-a-asr"
    assert own["parameters"] == base["parameters"] | {"slot": "plant-a/asr"}
    assert own["tags"] == [*base["tags"], "plant-a/asr"]


# of MLflow, where nothing has imported it before
@pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")
def test_the_libraries_of_a_training_can_be_imported_ahead() -> None:
    tasks.import_training()
    assert {"elp_core.training", "transformers.modeling_utils", "mlflow.pyfunc"} <= set(sys.modules)


def test_the_parent_of_all_runs_waits_on_another_pool_than_its_children() -> None:
    assert deployments.FLOWS["retrain-all"] != deployments.FLOWS["retrain"]
