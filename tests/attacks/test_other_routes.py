"""Every other part of MLflow's server that might reach the registry, the store or the machine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contest import CHAMPION, UNGATED, Contest
from tests.support.versions_by_hand import API

V3 = "/ajax-api/3.0/mlflow"


@pytest.mark.parametrize("field", ["mlflowSetRegisteredModelAlias", "mlflowSetModelVersionTag", "mlflowDeleteRun"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_graphql(contest: Contest, field: str, method: str) -> None:
    query = (
        f'mutation {{ {field}(input: {{name: "{contest.model}", alias: "champion", version: "{UNGATED}"}}) {{ x }} }}'
    )
    contest.rest(method, "/graphql", {"query": query, "operationName": None, "variables": {}})


def test_a_webhook_that_answers_yes(contest: Contest) -> None:
    values = {
        "name": "yes",
        "url": "https://127.0.0.1:1/promote",
        "events": [{"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"}],
    }
    contest.rest("POST", f"{API}/webhooks", values)
    contest.refused(contest.alias(UNGATED))


@pytest.mark.parametrize("workspace", ["default", "other", "../default", ""])
def test_another_workspace(contest: Contest, workspace: str) -> None:
    values = {"name": contest.model, "alias": "champion", "version": str(UNGATED)}
    headers = {"X-MLFLOW-WORKSPACE": workspace}
    answer = contest.rest("POST", f"{API}/registered-models/alias", values, headers=headers)
    assert answer.status >= 400
    contest.rest("POST", "/api/3.0/mlflow/workspaces", {"name": "other"})


@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("GET", "config"),
        ("PUT", "config"),
        ("POST", "message"),
        ("GET", "providers"),
        ("POST", "skills/install"),
        ("POST", "sessions/x/permission"),
        ("POST", "sessions/x/tool-result"),
    ],
)
def test_the_assistant_that_runs_commands_on_the_server(contest: Contest, method: str, route: str) -> None:
    """It can do whatever the server's user can, the database file and the keys included: it is not served."""
    answer = contest.rest(method, f"{V3}/assistant/{route}", {} if method != "GET" else None)
    assert answer.status in (403, 404, 405), f"{answer.status} {answer.text[:200]}"


@pytest.mark.parametrize(
    ("method", "target", "values"),
    [
        ("POST", f"{V3}/jobs/", {"job_name": "run_prompt_optimization", "params": {}}),
        ("POST", f"{V3}/scorer/invoke", {"experiment_id": "0", "serialized_scorer": "{}", "trace_ids": ["x"]}),
        ("POST", f"{V3}/issues/invoke", {"experiment_id": "0"}),
        ("POST", f"{V3}/genai/evaluate/invoke", {"experiment_id": "0"}),
        ("POST", "/ajax-api/2.0/mlflow/gateway-proxy", {"gateway_path": "api/2.0/endpoints/", "json_data": {}}),
        ("POST", "/gateway/proxy/x/api/2.0/mlflow/registered-models/alias", {}),
        ("POST", "/api/3.0/mlflow/prompt-optimization/jobs", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_job_that_would_do_it_from_within(contest: Contest, method: str, target: str, values: dict[str, Any]) -> None:
    contest.rest(method, target, {**values, "name": contest.model, "alias": "champion", "version": str(UNGATED)})


def test_a_prompt_that_takes_the_name_of_a_slot(contest: Contest) -> None:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}, {"key": "mlflow.prompt.text", "value": "hi"}]
    source = {"name": contest.model, "source": "dummy-source", "tags": tags}
    assert contest.rest("POST", f"{API}/model-versions/create", source).status in (400, 403)
    alias = {"name": contest.model, "alias": "champion", "version": "7"}
    assert contest.rest("POST", f"{API}/registered-models/alias", alias).status in (400, 403, 404)


def test_an_mcp_server_that_takes_the_name_of_a_slot(contest: Contest) -> None:
    for base in ("/api/3.0/mlflow/mcp-servers", f"{V3}/mcp-servers"):
        contest.rest("POST", base, {"name": contest.model})
        contest.rest("POST", f"{base}/{contest.model}/aliases", {"alias": "champion", "version": str(UNGATED)})


def test_a_trace_whose_name_is_a_path(contest: Contest) -> None:
    experiment = contest.made[CHAMPION].folder.split("/")[0]
    trace = {
        "trace_id": f"../models/{contest.made[CHAMPION].model_id}",
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
    }
    contest.rest("POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": trace}})
    contest.rest("POST", f"{API}/traces/delete-traces", {"experiment_id": experiment, "max_traces": 100})


@pytest.mark.parametrize("target", ["/elp/api/v1/../../api/2.0/mlflow/registered-models/alias", "/elp/../graphql"])
def test_a_path_out_of_our_own_routes(contest: Contest, target: str) -> None:
    values = {"name": contest.model, "alias": "champion", "version": str(UNGATED)}
    assert contest.rest("POST", target, values).status >= 400


def test_the_server_gives_its_keys_to_nobody(contest: Contest) -> None:
    for path in ("../keys/trusted.json", "%2e%2e/keys/trusted.json", "..%2fkeys%2ftrusted.json", "/keys/trusted.json"):
        answer = contest.rest("GET", f"/api/2.0/mlflow-artifacts/artifacts/{path}")
        assert answer.status >= 400, path
    name = f"keys-{contest.mark}"
    made = contest.rest(
        "POST", f"{API}/experiments/create", {"name": name, "artifact_location": f"file://{contest.server.folder}"}
    )
    if made.status == 200:
        run = contest.rest.post(f"{API}/runs/create", {"experiment_id": made.json["experiment_id"]})["run"]["info"]
        for path in ("../../keys/trusted.json", "keys/trusted.json"):
            answer = contest.rest("GET", f"/get-artifact?run_uuid={run['run_id']}&path={path}")
            assert answer.status >= 400, path
