"""The console under basic auth: two people, two browsers, one override."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Visit, browser
from tests.support.login_server import PASSWORD, LoginServer
from tests.support.shop import Shop, open_shop

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def shop(login: LoginServer) -> Shop:
    """v2 is champion, v4 failed."""
    return open_shop(login.guarded, "plant-b", login.rest("admin"))


def _accept(dialog: Dialog) -> None:
    dialog.accept()


def _open(visit: Visit, shop: Shop) -> Page:
    visit.page.on("dialog", _accept)
    visit.page.goto(shop.page)
    return visit.page


def _send(page: Page, button: str, reason: str = "") -> str:
    """Press a button of the override's section; what the page says became of it."""
    form = page.locator("form", has=page.get_by_role("button", name=button))
    if reason:
        form.get_by_label("Reason").fill(reason)
    with page.expect_navigation():
        form.get_by_role("button").click()
    result = page.locator("#result:focus")
    result.wait_for()
    return result.inner_text()


def test_an_override_takes_two_people_and_ends_by_either(shop: Shop) -> None:
    with browser(1280, 860, credentials=("anna", PASSWORD)) as visit:
        page = _open(visit, shop)
        page.get_by_role("region", name="Override").get_by_label("Version").select_option("4")
        assert "override asked for v4" in _send(page, "Request an override", "the old one fails on the new line")
        assert page.get_by_role("button", name="Approve the override").count() == 0
        assert shop.champion() == 2
        assert visit.left_the_machine() == visit.errors == []
    with browser(1280, 860, credentials=("berta", PASSWORD)) as visit:
        page = _open(visit, shop)
        visit.screenshot("console-override")
        assert "overridden, v4 is the champion now; the champion before it was v2" in _send(
            page, "Approve the override"
        )
        red = page.get_by_role("region", name="Override", exact=True).first
        assert "asked by anna, approved by berta: the old one fails on the new line" in red.inner_text()
        assert shop.champion() == 4
        assert "rolled back, v2 is the champion now" in _send(page, "Withdraw the override", "a better one is ready")
        assert shop.champion() == 2


def test_an_auditor_sees_that_the_role_is_missing(shop: Shop) -> None:
    with browser(1280, 860, credentials=("dora", PASSWORD)) as visit:
        page = _open(visit, shop)
        assert "signed in as dora" in page.get_by_role("banner").inner_text()
        said = _send(page, "Request an override", "I would like to")
        assert "dora has the role auditor, and this needs promoter" in said
        assert shop.champion() == 2
