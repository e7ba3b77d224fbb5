"""MLflow on a first visit: it opens at the registry, without banners, and no page asks another host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Visit, browser
from tests.support.contest import PASSED, prepare
from tests.support.guarded_server import GuardedServer
from tests.support.shop import open_shop

if TYPE_CHECKING:
    from playwright.sync_api import Request

pytestmark = pytest.mark.integration

PAGES = (
    *("", "/experiments", "/models", "/prompts", "/settings"),
    *("/models/{model}", "/models/{model}/versions/3", "/experiments/1/runs/{run}"),
    "/experiments/1/runs/{run}/artifacts/gate/v3/report.html",
)
"""Of MLflow, after its hash; the last one shows the gate's report in a frame."""


@pytest.fixture
def visit() -> Iterator[Visit]:
    with browser(first_visit=True) as opened:
        yield opened
    assert opened.left_the_machine() == []
    assert opened.requests


def test_the_first_page_is_the_registry_without_promotion(visit: Visit, server: GuardedServer) -> None:
    visit.page.goto(server.uri)
    visit.page.get_by_text("Registered Models").first.wait_for(timeout=60_000)
    assert visit.page.url.endswith("/#/models")
    text = visit.page.inner_text("body")
    assert "telemetry" not in text
    assert visit.page.locator('[data-component-id*="assistant.chat_panel"]').count() == 0


def test_a_choice_of_the_visitor_stays(visit: Visit, server: GuardedServer) -> None:
    visit.page.goto(f"{server.uri}/#/models")
    visit.page.get_by_text("Registered Models").first.wait_for(timeout=60_000)
    visit.page.evaluate("localStorage.setItem('mlflow.workflowType_v1', '\"genai\"')")
    visit.page.reload()
    assert visit.page.evaluate("localStorage.getItem('mlflow.workflowType_v1')") == '"genai"'


def _when_quiet(visit: Visit) -> Callable[[], None]:
    """Return what waits until every request of the visit has ended and no other one follows for a moment."""
    asked: list[Request] = []
    ended: list[Request] = []
    # Playwright takes no method of a list
    visit.page.context.on("request", lambda one: asked.append(one))
    visit.page.context.on("requestfinished", lambda one: ended.append(one))
    visit.page.context.on("requestfailed", lambda one: ended.append(one))

    def wait() -> None:
        before, ends = -1, time.monotonic() + 60
        while not before == len(asked) == len(ended):
            assert time.monotonic() < ends, [one.url for one in asked if one not in ended]
            before = len(asked)
            visit.page.wait_for_timeout(400)

    return wait


def test_no_page_asks_another_host(visit: Visit, server: GuardedServer) -> None:
    shop = open_shop(server, "plant-n")
    named = {"model": shop.model, "run": shop.made[3].run_id}
    quiet = _when_quiet(visit)
    # by the hash alone, as its own links do: each load of all its scripts takes 2 s of processor time
    tab = visit.page.context.new_page()
    for page in PAGES:
        tab.goto(f"{server.uri}/#{page.format(**named)}" if page else f"{server.uri}/#/")
        tab.get_by_role("link", name="Settings").first.wait_for(timeout=60_000)
        quiet()
    tab.frame_locator("iframe").get_by_role("heading", level=1).wait_for(timeout=60_000)
    visit.page.goto(f"{server.uri}/elp/slots/plant-n/asr")
    # what a page asks for after it has come
    visit.page.wait_for_timeout(3000)
    assert visit.left_the_machine() == []
    assert visit.errors == []


def test_the_policy_stops_a_picture_of_another_host_in_a_description(visit: Visit, server: GuardedServer) -> None:
    contest = prepare(server, "plant-csp")
    text = "see ![plan](https://plans.example/plan.png)"
    answer = contest.rest(
        "PATCH", "/api/2.0/mlflow/registered-models/update", {"name": contest.model, "description": text}
    )
    assert answer.status == 200
    stopped: dict[str, str] = {}
    visit.page.on("requestfailed", lambda asked: stopped.update({asked.url: asked.failure or ""}))
    visit.page.goto(f"{server.uri}/#/models/{contest.model}")
    visit.page.get_by_role("link", name=f"Version {PASSED}", exact=True).wait_for(timeout=60_000)
    visit.page.wait_for_timeout(1500)
    assert [url for url, why in stopped.items() if "csp" in why.lower()] == ["https://plans.example/plan.png"]
    # the browser lists what its policy has stopped before it was sent
    visit.requests[:] = [url for url in visit.requests if url not in stopped]
