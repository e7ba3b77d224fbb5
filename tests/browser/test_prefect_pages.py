"""Prefect's pages, in both of its looks, ask no other host, and the policy that holds them to it breaks none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.local import http_client as web
from pipelines.local.environment import child_environment
from pipelines.local.processes import start, stop, tail
from pipelines.local.service_commands import prefect_command
from tests.support.browser import Visit, browser

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PAGES = {
    "/dashboard": "Run a task or flow",
    "/runs": "Runs store the state history",
    "/automations": "Automations",
    "/v2/dashboard": "Dashboard",
    "/v2/runs": "Runs",
    "/v2/deployments": "Deployments",
    "/v2/work-pools": "Work Pools",
    "/v2/settings": "Settings",
}
"""Path -> text that the page shows when it works."""


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server as `elp up` starts it."""
    folder, port = tmp_path_factory.mktemp("prefect"), web.free_port("127.0.0.1")
    address = f"http://127.0.0.1:{port}"
    environment = child_environment({"PREFECT_HOME": str(folder), "PREFECT_API_URL": f"{address}/api"})
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


def test_the_pages_work_and_ask_no_other_host(visit: Visit, prefect: str) -> None:
    tabs = {path: visit.page.context.new_page() for path in PAGES}
    for path, tab in tabs.items():
        tab.goto(prefect + path)
    for path, tab in tabs.items():
        tab.get_by_text(PAGES[path]).first.wait_for(timeout=60_000)
    # the analytics library asks for its settings some seconds after the page has come
    visit.page.wait_for_timeout(4000)
    assert visit.left_the_machine() == []
    assert {prefect + path for path in PAGES} <= set(visit.requests)
    assert visit.errors == []


def test_opened_under_another_name_the_page_still_reaches_its_api(visit: Visit, prefect: str) -> None:
    with visit.page.expect_response(lambda answer: "/api/" in answer.url and answer.status == 200, timeout=60_000):
        visit.page.goto(prefect.replace("127.0.0.1", "localhost") + "/dashboard")
