"""Every writing button of MLflow's pages: a refused one says why and what to do next, until the reader closes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Visit
from tests.support.guarded_server import GuardedServer
from tests.support.shop import Shop, open_shop

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.integration

Press = Callable[["Page"], None]


@pytest.fixture(scope="module")
def shop(server: GuardedServer) -> Shop:
    """v2 is champion, v3 passed, v4 failed."""
    return open_shop(server, "plant-r")


def _open_model(page: Page, shop: Shop) -> None:
    _go(page, shop, f"{shop.server.uri}/#/models/{shop.model}")
    page.get_by_role("link", name="Version 3", exact=True).wait_for(timeout=60_000)


def _open_version(page: Page, shop: Shop, version: int) -> None:
    _go(page, shop, f"{shop.server.uri}/#/models/{shop.model}/versions/{version}")
    page.get_by_text("Registered At").wait_for(timeout=60_000)


def _go(page: Page, shop: Shop, address: str) -> None:
    # another hash alone would leave the dialogs of the page before open
    page.goto(f"{shop.server.uri}/elp/static/console.css")
    page.goto(address)


def _row(page: Page, version: int) -> Locator:
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=f"Version {version}", exact=True))
    row.hover()
    return row


def _copy(page: Page) -> None:
    page.get_by_role("button", name="Promote model").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox").click()
    page.get_by_text("Create New Model", exact=True).click()
    dialog.get_by_placeholder("Input a model name").fill("production")
    dialog.get_by_role("button", name="Promote", exact=True).click()


def _delete(page: Page) -> None:
    page.get_by_test_id("overflow-menu-trigger").click()
    page.get_by_text("Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()


def _describe(page: Page) -> None:
    page.get_by_test_id("descriptionEditButton").click()
    page.locator("textarea").first.fill("all is well")
    page.get_by_role("button", name="Save").click()


def _add_tag(page: Page) -> None:
    page.get_by_placeholder("Name").fill("elp.mine")
    page.get_by_placeholder("Value").fill("passed")
    page.get_by_test_id("add-tag-button").click()


def _delete_tag(page: Page) -> None:
    page.get_by_role("row", name="elp.status").get_by_role("button").last.click()
    page.get_by_role("button", name="Confirm").click()


def _alias(version: int, keys: str) -> Press:
    def press(page: Page) -> None:
        _row(page, version).locator("[data-component-id*=modelversiontablealiasescell]").last.click()
        dialog = page.get_by_role("dialog")
        box = dialog.get_by_role("combobox")
        box.click()
        page.keyboard.press("Backspace") if not keys else box.fill(keys)
        page.keyboard.press("Enter") if keys else None
        dialog.get_by_role("button", name="Save aliases").click()

    return press


def _list_tag(page: Page) -> None:
    _row(page, 4).locator("button[data-component-id*=keyvaluetagseditorcell]").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox").fill("elp.verdict")
    page.keyboard.press("Enter")
    dialog.get_by_label("Value (optional)").fill("passed")
    dialog.get_by_role("button", name="Add tag").click()
    dialog.get_by_role("button", name="Save tags").click()


def _stage(page: Page) -> None:
    # the last one: the old look, which has stages, stays on in this browser
    page.get_by_role("switch").click()
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    page.get_by_text("None", exact=True).first.click()
    page.get_by_text("Transition to").first.click()
    page.get_by_role("dialog").get_by_role("button").last.click()


BUTTONS: dict[str, tuple[int, Press, str]] = {
    "promote": (
        3,
        _copy,
        "let it serve there: elp promote plant-r/asr --version 3, or in the console: /elp/slots/plant",
    ),
    "delete version": (2, _delete, "retire it first: elp retire plant-r/asr"),
    "delete model": (0, _delete, "retire it first: elp retire plant-r/asr"),
    "describe": (3, _describe, "is written by the server; put notes into a tag of your own"),
    "add tag": (3, _add_tag, "gate or promote instead: elp gate plant-r/asr"),
    "delete tag": (3, _delete_tag, "gate or promote instead: elp gate plant-r/asr"),
    "tag in the list": (0, _list_tag, "gate or promote instead: elp gate plant-r/asr"),
    "delete alias": (0, _alias(2, ""), "elp retire plant-r/asr --reason REASON"),
    "alias": (0, _alias(4, "champion"), "the gate's verdict is failed: "),
    "stage": (3, _stage, "promote: elp promote plant-r/asr --version 3"),
}
"""Button -> version whose page has it (0: the model's page), what presses it, and what the refusal says."""
_AS_OTHERS = {"delete model", "delete tag", "tag in the list", "delete alias"}
"""They ask by the dialog of another button here, or of test_mlflow_pages.py."""


def test_from_the_dialog_of_a_failed_version_to_its_report(shop: Shop, visit: Visit) -> None:
    _open_model(visit.page, shop)
    BUTTONS["alias"][1](visit.page)
    link = visit.page.locator("#elp-refusal").get_by_role("link", name="/elp/slots/plant-r/asr/v4/report")
    link.wait_for(timeout=20_000)
    visit.screenshot("refused-with-report")
    link.click()
    report = visit.page.frame_locator("iframe").get_by_role("heading", level=1)
    report.wait_for(timeout=60_000)
    assert "must not be promoted" in report.inner_text()


def test_what_decides_is_read_first(shop: Shop, visit: Visit) -> None:
    _open_model(visit.page, shop)
    text = visit.page.locator("main, #root").first.inner_text()
    assert "Champion: version 2, promoted at " in text
    names = re.findall(r"\belp\.\w+", _row(visit.page, 4).inner_text())
    assert names == ["elp.status", "elp.verdict", "elp.result", "elp.dataset", "elp.report"]
    visit.screenshot("mlflow-versions")
    _open_version(visit.page, shop, 2)
    page = visit.page
    assert page.get_by_text("Promoted:").is_visible()
    assert page.get_by_role("row", name="elp.result").inner_text().split() == ["elp.result", "WER", "12.00", "%"]
    assert page.get_by_role("row", name="elp.key").count() == 0
    with page.expect_popup() as opened:
        page.get_by_role("link", name="of the gate").click()
    opened.value.wait_for_url("**/artifacts/gate/v2/report.html", timeout=60_000)
    opened.value.close()


@pytest.mark.parametrize(
    "button", [pytest.param(one, marks=[pytest.mark.slow] * (one in _AS_OTHERS)) for one in BUTTONS]
)
def test_a_refused_button_says_what_to_do_next(shop: Shop, visit: Visit, button: str) -> None:
    version, press, sentence = BUTTONS[button]
    if version:
        _open_version(visit.page, shop, version)
    else:
        _open_model(visit.page, shop)
    press(visit.page)
    box = visit.page.locator("#elp-refusal")
    box.get_by_text(sentence).wait_for(timeout=20_000)
    console = box.get_by_role("link", name="Open plant-r/asr in the console")
    assert console.get_attribute("href") == "/elp/slots/plant-r/asr"
    box.get_by_role("button", name="Close").click()
    assert box.count() == 0
    assert shop.champion() == 2
