"""Prefect's pages, in both of its looks, below the front: one address, one login, no request to any other one."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.local import http_client as web
from pipelines.local.environment import child_environment
from pipelines.local.processes import start, stop, tail
from pipelines.local.service_commands import prefect_command
from tests.support.browser import Visit, browser
from tests.support.front_servers import FrontServers, front_servers
from tests.support.login_server import PASSWORD
from tests.support.new_databases import new_prefect_database

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PAGES = {
    "/dashboard": "Flow Runs",
    "/runs": "1 run",
    "/runs/flow-run/RUN": "retrain plant-a/asr",
    "/automations": "Automations",
    "/v2/dashboard": "Dashboard",
    "/v2/runs": "retrain plant-a/asr",
    "/v2/runs/flow-run/RUN": "retrain plant-a/asr",
    "/v2/deployments": "Deployments",
    "/v2/work-pools": "Work Pools",
    "/v2/settings": "Settings",
}
"""Path below /prefect -> text that the page shows when it works."""
_READER = ("dora", PASSWORD)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontServers]:
    with front_servers(tmp_path_factory.mktemp("front")) as running:
        yield running


@pytest.fixture(scope="module")
def run_id(servers: FrontServers) -> str:
    """A run that waits for a worker, made with Prefect's key as the workers have it."""
    flow = _api(servers, "/flows/", {"name": "retrain"})
    state = {"type": "SCHEDULED", "name": "Scheduled"}
    made = _api(servers, "/flow_runs/", {"flow_id": flow["id"], "name": "retrain plant-a/asr", "state": state})
    return str(made["id"])


def _api(servers: FrontServers, route: str, body: Any = None) -> Any:
    ends = time.monotonic() + 60
    while True:
        try:
            return web.request(f"{servers.prefect}/api{route}", body, 60.0, (servers.key,))
        except urllib.error.HTTPError as error:
            # with SQLite, Prefect says so while it cleans its tables after its start
            if error.code != 503 or time.monotonic() > ends:
                raise
            time.sleep(0.5)


def _status(servers: FrontServers, user: tuple[str, str], route: str, body: Any = None, **headers: str) -> int:
    """Return the status of a request through the front."""
    login = base64.b64encode(":".join(user).encode()).decode()
    given = {"Authorization": f"Basic {login}", "Content-Type": "application/json", **headers}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{servers.uri}{route}", data, given), timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
def test_every_page_works_for_a_reader_and_asks_the_front_only(servers: FrontServers, run_id: str) -> None:
    with browser(credentials=_READER) as visit:
        tabs = {path: visit.page.context.new_page() for path in PAGES}
        for path, tab in tabs.items():
            tab.goto(f"{servers.uri}/prefect{path.replace('RUN', run_id)}")
        for path, tab in tabs.items():
            tab.get_by_text(PAGES[path]).first.wait_for(timeout=120_000)
        # the analytics library asks for its settings some seconds after the page has come
        visit.page.wait_for_timeout(4000)
        assert len(visit.requests) > len(PAGES)
        assert [url for url in visit.requests if not url.startswith((f"{servers.uri}/", "data:", "blob:"))] == []
        assert visit.errors == []
        assert "Upgrade" not in tabs["/v2/dashboard"].inner_text("body")


def test_the_start_page_leads_to_prefect_s_dashboard(servers: FrontServers) -> None:
    with browser(credentials=_READER) as visit:
        visit.page.goto(f"{servers.uri}/prefect")
        visit.page.wait_for_url(f"{servers.uri}/prefect/v2/dashboard**", timeout=60_000)


def test_a_reader_cannot_start_cancel_or_delete_a_run_and_an_administrator_can(
    servers: FrontServers, run_id: str
) -> None:
    cancel = f"/prefect/api/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLED"}}
    for name in ("anna", "carl", "dora"):
        assert _status(servers, (name, PASSWORD), *cancel) == 403
        assert _status(servers, (name, PASSWORD), "/prefect/api/flow_runs/", {"flow_id": run_id}) == 403
        assert _status(servers, (name, PASSWORD), "/prefect/api/flow_runs/filter", {}) == 200
    assert _api(servers, f"/flow_runs/{run_id}")["state_type"] == "SCHEDULED"
    admin = (servers.login.admin.name, servers.login.admin.password)
    # a form of another site has the administrator's login, too
    assert _status(servers, admin, *cancel, Origin="https://evil.example") == 403
    assert _status(servers, admin, *cancel) == 201
    assert _api(servers, f"/flow_runs/{run_id}")["state_type"] == "CANCELLED"


def test_nobody_goes_round_the_login_by_prefect_s_own_port(servers: FrontServers) -> None:
    for route, body in (("hello", None), ("flow_runs/filter", {})):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            web.request(f"{servers.prefect}/api/{route}", body)
    # a user's own password is no key
    with pytest.raises(urllib.error.HTTPError, match="401"):
        web.request(f"{servers.prefect}/api/hello", login=_READER)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server without a front, as with an MLflow server that runs elsewhere."""
    folder, port = tmp_path_factory.mktemp("prefect"), web.free_port("127.0.0.1")
    address = f"http://127.0.0.1:{port}"
    pages = {"PREFECT_SERVER_UI_STATIC_DIRECTORY": str(folder / "pages")}
    environment = child_environment({"PREFECT_HOME": str(folder), "PREFECT_API_URL": f"{address}/api", **pages})
    new_prefect_database(folder)
    process = start("prefect", prefect_command("127.0.0.1", port), environment, Path(folder / "log"), address)
    try:
        deadline = time.monotonic() + 300
        while not web.answers(f"{address}/api/health"):
            assert time.monotonic() < deadline, tail(folder / "log")
            time.sleep(0.5)
        yield address
    finally:
        stop([process])


@pytest.fixture
def visit() -> Iterator[Visit]:
    with browser() as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize(("path", "text"), [("/dashboard", "Run a task or flow"), ("/v2/dashboard", "Dashboard")])
def test_without_a_front_a_page_works_and_asks_no_other_host(visit: Visit, alone: str, path: str, text: str) -> None:
    visit.page.goto(alone + path)
    visit.page.get_by_text(text).first.wait_for(timeout=60_000)
    visit.page.wait_for_timeout(4000)
    assert visit.left_the_machine() == []
    assert visit.requests
    assert visit.errors == []


@pytest.mark.slow
def test_opened_under_another_name_the_page_still_reaches_its_api(visit: Visit, alone: str) -> None:
    with visit.page.expect_response(lambda answer: "/api/" in answer.url and answer.status == 200, timeout=60_000):
        visit.page.goto(alone.replace("127.0.0.1", "localhost") + "/dashboard")
