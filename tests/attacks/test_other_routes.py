"""Every other part of MLflow's server that might reach the registry, the store or the machine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.contest import CHAMPION, UNGATED, Contest
from tests.support.versions_by_hand import API

V3 = "/ajax-api/3.0/mlflow"


NEVER_GATED = "was never gated; gate it: elp gate"


@pytest.mark.parametrize("field", ["mlflowSetRegisteredModelAlias", "mlflowSetModelVersionTag", "mlflowDeleteRun"])
def test_graphql(contest: Contest, field: str) -> None:
    arguments = f'name: "{contest.model}", alias: "champion", version: "{UNGATED}"'
    body = {"query": f"mutation {{ {field}(input: {{{arguments}}}) {{ x }} }}", "operationName": None, "variables": {}}
    contest.rest("POST", "/graphql", body).must_be(200, f"Cannot query field '{field}' on type 'Mutation'")
    # GET opens MLflow's page for queries
    contest.rest("GET", "/graphql", body).must_be(200)


def test_a_webhook_that_promotes(contest: Contest) -> None:
    events = [{"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"}]
    values = {"name": "yes", "url": "https://127.0.0.1:1/promote", "events": events}
    answer = contest.rest("POST", f"{API}/webhooks", values)
    answer.must_be(400, "Webhook URL must not resolve to a non-public IP address")
    contest.refused(contest.alias(UNGATED), NEVER_GATED)


@pytest.mark.parametrize(
    ("workspace", "status", "sentence"),
    [
        ("", 403, NEVER_GATED),
        # MLflow answers 500 itself, before any store is asked
        *((name, 500, "workspaces are not enabled on this server") for name in ("default", "other", "../default")),
    ],
)
def test_another_workspace(contest: Contest, workspace: str, status: int, sentence: str) -> None:
    values = {"name": contest.model, "alias": "champion", "version": str(UNGATED)}
    headers = {"X-MLFLOW-WORKSPACE": workspace}
    contest.rest("POST", f"{API}/registered-models/alias", values, headers=headers).must_be(status, sentence)
    made = contest.rest("POST", "/api/3.0/mlflow/workspaces", {"name": "other"})
    made.must_be(503, "disabled because the server is running without workspaces support")


def test_the_assistant_that_runs_commands_on_the_server(contest: Contest) -> None:
    """It can do whatever the server's user can, the database file and the keys included: it is not served."""
    for method, route in (
        ("GET", "config"),
        ("PUT", "config"),
        ("POST", "message"),
        ("GET", "providers"),
        ("POST", "skills/install"),
        ("POST", "sessions/x/permission"),
        ("POST", "sessions/x/tool-result"),
    ):
        answer = contest.rest(method, f"{V3}/assistant/{route}", {} if method != "GET" else None)
        answer.must_be(404, "the guarded server has no MLflow assistant")


@pytest.mark.parametrize(
    ("target", "values", "status", "sentence"),
    [
        (f"{V3}/jobs/", {"job_name": "run_prompt_optimization", "params": {}}, 404, "Not Found"),
        (
            f"{V3}/scorer/invoke",
            {"experiment_id": "0", "serialized_scorer": "{}", "trace_ids": ["x"]},
            400,
            "Failed to validate scorer",
        ),
        (f"{V3}/issues/invoke", {"experiment_id": "0"}, 400, "required parameter 'trace_ids'"),
        (f"{V3}/genai/evaluate/invoke", {"experiment_id": "0"}, 400, "required parameter 'trace_ids'"),
        (
            "/ajax-api/2.0/mlflow/gateway-proxy",
            {"gateway_path": "api/2.0/endpoints/", "json_data": {}},
            200,
            '"endpoints":[]',
        ),
        ("/gateway/proxy/x/api/2.0/mlflow/registered-models/alias", {}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("/api/3.0/mlflow/prompt-optimization/jobs", {}, 400, "required parameter 'source_prompt_uri'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_job_that_would_promote_from_inside(
    contest: Contest, target: str, values: dict[str, Any], status: int, sentence: str
) -> None:
    subject = {"name": contest.model, "alias": "champion", "version": str(UNGATED)}
    contest.rest("POST", target, {**values, **subject}).must_be(status, sentence)


def test_a_prompt_that_takes_the_name_of_a_slot(contest: Contest) -> None:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}, {"key": "mlflow.prompt.text", "value": "hi"}]
    source = {"name": contest.model, "source": "dummy-source", "tags": tags}
    answer = contest.rest("POST", f"{API}/model-versions/create", source)
    contest.refused(answer, "the tag 'mlflow.prompt.is_prompt' is MLflow's own")
    alias = {"name": contest.model, "alias": "champion", "version": "7"}
    contest.rest("POST", f"{API}/registered-models/alias", alias).must_be(404, "version=7) not found")


def test_an_mcp_server_that_takes_the_name_of_a_slot(contest: Contest) -> None:
    for base in ("/api/3.0/mlflow/mcp-servers", f"{V3}/mcp-servers"):
        contest.rest("POST", base, {"name": contest.model}).must_be(400, "Invalid MCP server name")
        values = {"alias": "champion", "version": str(UNGATED)}
        answer = contest.rest("POST", f"{base}/{contest.model}/aliases", values)
        answer.must_be(404, f"MCPServer not found (name='{contest.model}')")


def test_a_trace_whose_name_is_a_path(contest: Contest) -> None:
    experiment = contest.made[CHAMPION].folder.split("/")[0]
    trace = {
        "trace_id": f"../models/{contest.made[CHAMPION].model_id}",
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
    }
    contest.rest("POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": trace}}).must_be(200)
    deletion = {"experiment_id": experiment, "max_timestamp_millis": 2**45, "max_traces": 100}
    contest.rest("POST", f"{API}/traces/delete-traces", deletion).must_be(200, '"traces_deleted": 1')


@pytest.mark.parametrize("target", ["/elp/api/v1/../../api/2.0/mlflow/registered-models/alias", "/elp/../graphql"])
def test_a_path_out_of_our_own_routes(contest: Contest, target: str) -> None:
    values = {"name": contest.model, "alias": "champion", "version": str(UNGATED)}
    contest.rest("POST", target, values).must_be(404, "Not Found")


def test_the_servers_keys_cannot_be_read(contest: Contest) -> None:
    for path in ("../keys/trusted.json", "%2e%2e/keys/trusted.json", "..%2fkeys%2ftrusted.json", "/keys/trusted.json"):
        contest.rest("GET", f"/api/2.0/mlflow-artifacts/artifacts/{path}").must_be(400, "Invalid path")
    values = {"name": f"keys-{contest.mark}", "artifact_location": f"file://{contest.server.folder}"}
    answer = contest.rest("POST", f"{API}/experiments/create", values)
    contest.refused(answer, "is the store that this server guards; leave it out")
