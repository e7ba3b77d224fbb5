"""Promotion as people do it: in MLflow's own pages, with a real browser on the real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Visit, browser
from tests.support.contest import CHAMPION, FAILED, OUTDATED, PASSED, UNGATED, Contest, prepare
from tests.support.guarded_server import GuardedServer

if TYPE_CHECKING:
    from playwright.sync_api import Locator

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def contest(server: GuardedServer) -> Contest:
    """A slot that the refused ones leave as it is."""
    return prepare(server, "plant-a")


@pytest.fixture
def visit() -> Iterator[Visit]:
    """A browser that has asked for nothing beyond this machine when the test is over."""
    with browser() as opened:
        yield opened
    assert opened.left_the_machine() == []
    assert opened.requests


def _row(visit: Visit, contest: Contest, version: int) -> Locator:
    """The version's row on the model's page."""
    page = visit.page
    page.goto(f"{contest.server.uri}/#/models/{contest.model}")
    link = page.get_by_role("link", name=f"Version {version}", exact=True)
    link.wait_for(timeout=60_000)
    return page.get_by_role("row").filter(has=link)


def _set_champion(visit: Visit, contest: Contest, version: int) -> Locator:
    """Type the alias champion into the version's dialog and save; the dialog."""
    row = _row(visit, contest, version)
    row.hover()
    row.locator("[data-component-id*=modelversiontablealiasescell]").last.click()
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_role("combobox").fill("champion")
    visit.page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Save aliases").click()
    return dialog


@pytest.mark.parametrize(
    ("version", "why"),
    [
        (FAILED, "the gate's verdict is failed"),
        # the server's sentences are tests/attacks/test_alias.py's; any of them takes the same way into the dialog
        pytest.param(UNGATED, "was never gated; gate it: elp gate plant-a/asr --version 5", marks=pytest.mark.slow),
        pytest.param(OUTDATED, "passed against v1", marks=pytest.mark.slow),
    ],
    ids=["failed", "ungated", "outdated"],
)
def test_the_dialog_says_why_a_version_is_refused(
    visit: Visit, contest: Contest, version: int, why: str, request: pytest.FixtureRequest
) -> None:
    dialog = _set_champion(visit, contest, version)
    dialog.get_by_text(why).wait_for(timeout=20_000)
    visit.screenshot(f"refused-{request.node.callspec.id}")
    assert contest.champion() == CHAMPION


def test_a_forged_tag_is_refused_in_its_dialog(visit: Visit, contest: Contest) -> None:
    row = _row(visit, contest, FAILED)
    row.hover()
    row.locator("button[data-component-id*=keyvaluetagseditorcell]").click()
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_role("combobox").fill("elp.verdict")
    visit.page.keyboard.press("Enter")
    dialog.get_by_label("Value (optional)").fill("passed")
    dialog.get_by_role("button", name="Add tag").click()
    dialog.get_by_role("button", name="Save tags").click()
    dialog.get_by_text("is not changed by hand").wait_for(timeout=20_000)
    visit.screenshot("refused-forged-tag")
    assert contest.state()[f"v{FAILED}"]["tags"]["elp.verdict"] == "failed"
    contest.refused(contest.alias(FAILED))


def test_a_passed_version_is_promoted_in_the_dialog(visit: Visit, server: GuardedServer, tmp_path: Path) -> None:
    contest = prepare(server, "plant-b")
    _set_champion(visit, contest, PASSED).wait_for(state="hidden", timeout=20_000)
    visit.page.reload()
    alias = _row(visit, contest, PASSED).get_by_text(re.compile(r"^\W*champion$"))
    alias.first.wait_for(timeout=20_000)
    alias.first.scroll_into_view_if_needed()
    visit.screenshot("promoted")
    assert contest.champion() == PASSED
    assert [(entry["event"], entry["to"]) for entry in contest.ledger(contest.mark)] == [("promoted", PASSED)]


def test_a_reason_is_shown_as_text(visit: Visit, server: GuardedServer) -> None:
    """What a caller writes is never run by the reader's browser."""
    contest = prepare(server, "plant-c")
    script = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    assert contest.ask("promote", version=PASSED, reason=script).status == 200
    row = _row(visit, contest, PASSED)
    row.get_by_role("link", name=f"Version {PASSED}", exact=True).click()
    visit.page.get_by_text("Registered At").wait_for(timeout=20_000)
    visit.page.wait_for_timeout(500)
    assert visit.page.title() != "owned"
