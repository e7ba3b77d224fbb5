"""The grid with several sites and tasks, in a real browser: every state that a cell can have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipelines.registry.slot import Slot
from pipelines.server.storage import override_requests
from tests.support.browser import Visit, browser
from tests.support.console_pages import open_stores
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.registry_rows import fill

pytestmark = pytest.mark.integration

VERSIONS = {
    "call-center-berlin": {"asr": 29, "asv": 14, "sic": 5},
    "plant-a": {"asr": 41, "asv": 17, "ser": 7, "sic": 6},
    "plant-b": {"asr": 24, "asv": 11},
    "warehouse-lyon": {"asr": 1, "ser": 12},
}
"""Of each slot; the newest passed and waits as challenger, but failed where the number can be divided by three."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    """A registry with years of history; the champion of plant-b/asr serves by an override."""
    folder = tmp_path_factory.mktemp("grid")
    counts = {Slot(site, task): count for site, tasks in VERSIONS.items() for task, count in tasks.items()}
    with pytest.MonkeyPatch.context() as patch:
        registry, tracking, ring = open_stores(folder, patch)
        fill(registry.engine, list(counts), list(counts.values()), ring)
        request = {"slot": "plant-b/asr", "version": 23, "bundle": "b", "before": 22, "before_bundle": "c"}
        with registry.locked() as transaction:
            asked = override_requests.add_request(
                transaction.session,
                **request,
                reason="line 3 stands still",
                seconds=2e6,
                asked_by="ann",
                asked_at=transaction.last_at,
            )
            override_requests.approve_request(transaction.session, asked, "bert", transaction.last_at)
        registry.engine.dispose()
        tracking.engine.dispose()
    with guarded_server(folder) as running:
        yield running


@pytest.fixture
def visit() -> Iterator[Visit]:
    with browser(1200, 840) as opened:
        yield opened
        assert opened.left_the_machine() == opened.errors == []


def test_the_grid_shows_every_slots_state(server: GuardedServer, visit: Visit) -> None:
    visit.page.goto(f"{server.uri}/elp/")
    rows = {site: visit.page.get_by_role("row", name=site) for site in VERSIONS}
    assert [visit.page.get_by_role("columnheader", name=task).count() for task in ("asr", "asv", "ser", "sic")] == [
        1
    ] * 4
    assert "override until 2" in rows["plant-b"].inner_text()
    assert "passed" in rows["plant-a"].get_by_role("cell").nth(0).inner_text()
    assert "failed" in rows["plant-a"].get_by_role("cell").nth(3).inner_text()
    assert "no champion" in rows["warehouse-lyon"].get_by_role("cell").nth(0).inner_text()
    assert rows["plant-b"].get_by_role("cell").nth(2).inner_text() == "–"
    visit.screenshot("console-grid")


def test_what_needs_a_person_leads_to_the_cards_of_a_slot(server: GuardedServer, visit: Visit) -> None:
    visit.page.goto(f"{server.uri}/elp/")
    attention = visit.page.get_by_role("region", name="Needs attention")
    # nothing tells this server of Prefect
    assert "workers and runs are unknown" in attention.inner_text()
    waiting = attention.get_by_role("listitem").filter(has_text="passed and wait for a decision")
    waiting.get_by_role("link", name="plant-a/asv").click()
    decision = visit.page.get_by_role("region", name="Decision")
    assert "Decide whether v17 becomes champion. Until then, v16 serves." in decision.inner_text()
    assert "of 100 comparisons of voices are decided wrongly" in decision.inner_text()
    visit.screenshot("console-decision")
