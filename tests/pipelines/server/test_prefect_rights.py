"""What a user may do at Prefect through the front, held against the routes that Prefect has."""

from __future__ import annotations

import pytest

from pipelines.server.auth.prefect_rights import reads_prefect
from pipelines.server.auth.principal import ADMINISTER, READ, Caller, has_right, right_needed

ID = "6c2d1c1e-7d0b-4a3e-9a55-0d7f5f6f4a10"

READING_POSTS = {
    "artifacts": "count filter latest/count latest/filter",
    "automations": "count filter",
    "block_schemas": "filter",
    "block_types": "filter",
    "concurrency_limits": "filter",
    "deployments": "count filter paginate",
    "events": "count-by/{countable} filter",
    "flow_runs": "count filter history lateness paginate {id:uuid}/input/filter",
    "flows": "count filter paginate",
    "logs": "filter",
    "saved_searches": "filter",
    "task_runs": "count filter history paginate",
    "task_workers": "filter",
    "ui": "flow_runs/count-task-runs flow_runs/history flows/count-deployments flows/next-runs task_runs/count "
    "task_runs/dashboard/counts",
    "v2": "concurrency_limits/filter",
    "variables": "count filter",
    "work_pools": "count filter {name}/concurrency_status {work_pool_name}/queues/filter "
    "{work_pool_name}/workers/filter",
    "work_queues": "filter {id:uuid}/concurrency_status",
}
"""The POST routes of Prefect 3.8.8 that change nothing, each looked at."""


def test_of_all_routes_of_prefect_only_those_that_read_are_open_to_readers() -> None:
    from prefect.server.api.server import API_ROUTERS

    routes = {(method, r.path) for router in API_ROUTERS for r in router.routes for method in getattr(r, "methods", ())}
    assert len(routes) > 150
    reading = {(method, path) for method, path in routes if reads_prefect(method, f"/prefect/api{path}")}
    posts = {("POST", f"/{first}/{rest}") for first, rests in READING_POSTS.items() for rest in rests.split()}
    gets = {(method, path) for method, path in routes if method == "GET" and "block_documents" not in path}
    assert reading == posts | gets


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/prefect/api/deployments/{ID}/create_flow_run"),
        ("POST", f"/prefect/api/flow_runs/{ID}/set_state"),
        ("DELETE", f"/prefect/api/flow_runs/{ID}"),
        ("PATCH", f"/prefect/api/deployments/{ID}"),
        # these answer with the secrets of blocks
        ("GET", f"/prefect/api/block_documents/{ID}"),
        ("POST", "/prefect/api/block_documents/filter"),
        ("GET", "/prefect/api/block_types/slug/secret/block_documents/name/mail"),
        # a pool and a tag of this name
        ("POST", "/prefect/api/work_pools/count-by/get_scheduled_flow_runs"),
        ("POST", "/prefect/api/work_pools/count-by/queues"),
        ("POST", "/prefect/api/concurrency_limits/tag/count-by/reset"),
        ("POST", "/prefect/anything"),
        ("POST", "/prefect"),
        ("POST", "/prefect/api"),
    ],
)
def test_a_write_and_a_secret_are_for_administrators(method: str, path: str) -> None:
    assert right_needed(method, path) == ADMINISTER
    for role in ("auditor", "trainer", "promoter"):
        assert not has_right(Caller("anna", True, "", roles=(role,)), ADMINISTER)


@pytest.mark.parametrize("path", ["/prefect", "/prefect/", "/prefect/v2/runs", "/prefect/api/admin/version"])
def test_pages_and_looks_are_for_everyone(path: str) -> None:
    assert right_needed("GET", path) == READ
