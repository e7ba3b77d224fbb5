"""Every page of the console and the gate's report under axe-core, and a promotion with the keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from pipelines.registry.slot import Slot
from tests.support.accessibility import grave_faults
from tests.support.browser import Visit, browser
from tests.support.guarded_server import GuardedServer
from tests.support.logged_looks import log_looks
from tests.support.shop import Shop, open_shop

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

NO_PAGES = re.compile(r"/elp/(api|static)/|/(report|sound)$|/docs/|#")
"""Addresses of other things than pages of the console, and places in a page that is known."""


@pytest.fixture(scope="module")
def shop(server: GuardedServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """v2 is champion, v3 passed, v4 failed; the site's audio has changed."""
    made = open_shop(server, "plant-x")
    log_looks(server.uri, Slot("plant-x", "asr"), tmp_path_factory.mktemp("looks"))
    return made


@pytest.fixture(scope="module")
def visit() -> Iterator[Visit]:
    with browser(1280, 860) as opened:
        opened.page.on("dialog", lambda dialog: dialog.accept())
        yield opened
        assert opened.left_the_machine() == []
        assert opened.errors == []


def _kind(address: str) -> tuple[str, ...]:
    """The kind of page at an address, whatever slot, version or digest it is about."""
    split = urlsplit(address)
    path = re.sub(r"plant-x/\w+|[0-9a-f]{12,}|[0-9]+", "*", split.path)
    return path, *sorted(parse_qs(split.query))


def _links(page: Page) -> list[str]:
    # a link in a picture has no text as its href
    hrefs = "[...document.querySelectorAll('main a, nav a')].map(a => a.getAttribute('href'))"
    script = f"{hrefs}.filter(Boolean).map(href => new URL(href, location).href)"
    found: list[str] = page.evaluate(script)
    here = urlsplit(page.url).netloc
    return [one for one in found if urlsplit(one).netloc == here and urlsplit(one).path.startswith("/elp/")]


def test_every_page_that_links_lead_to_has_no_grave_fault(shop: Shop, visit: Visit) -> None:
    start = f"{shop.server.uri}/elp/"
    waiting, seen, found = [start, shop.page], {_kind(start), _kind(shop.page)}, list[str]()
    while waiting:
        visit.page.goto(waiting.pop(0))
        found += grave_faults(visit.page)
        for link in _links(visit.page):
            if not NO_PAGES.search(link) and _kind(link) not in seen:
                seen.add(_kind(link))
                waiting.append(link)
    assert found == []
    paths = {kind[0] for kind in seen}
    assert {"/elp/", "/elp/slots/*", "/elp/slots/*/v*/clips", "/elp/backbones/sha*:*", "/elp/statements/*"} <= paths
    assert {"/elp/datasets/golden/*/v*", "/elp/datasets/data/x/asr/v*"} <= paths


def test_the_looks_of_the_monitor_are_drawn_and_told(shop: Shop, visit: Visit) -> None:
    visit.page.goto(shop.page)
    picture = visit.page.get_by_role("img", name="Way to an alarm of each measurement over the looks of the monitor")
    assert picture.locator("polyline").count() == 6
    assert "3 looks; an alarm is at 100 %. At the last one: signal-to-noise ratio 108.00 %" in (
        picture.text_content() or ""
    )
    table = visit.page.get_by_role("region", name="Measurements at the last look").get_by_role("row")
    first = table.nth(1).inner_text()
    assert [text in first for text in ("signal-to-noise ratio", "20 dB to 17 dB", "108.00 %, alarm")] == [True] * 3
    decisions = visit.page.get_by_role("region", name="Decisions of the monitor")
    assert "started: the audio changed and the champion's confidence fell" in decisions.inner_text()
    assert decisions.get_by_role("link").get_attribute("href").endswith("/prefect/runs/1")
    assert visit.page.get_by_text("10.00 % (5.00 % to 20.00 %)").is_visible()


def test_pages_that_no_link_leads_to_have_none(shop: Shop, visit: Visit) -> None:
    page = visit.page
    page.goto(f"{shop.server.uri}/elp/slots/nowhere/asr")
    found = grave_faults(page)
    page.goto(f"{shop.page}/compare")
    found += grave_faults(page)
    page.goto(shop.page)
    form = page.get_by_role("region", name="Promote")
    form.get_by_label("Version", exact=True).select_option("4")
    form.get_by_label("Your name").fill("ann")
    form.get_by_label("Reason").fill("we need it")
    with page.expect_navigation():
        form.get_by_role("button").click()
    page.locator("#result:focus").wait_for()
    assert found + grave_faults(page) == []


def test_the_report_of_the_gate_has_none(shop: Shop, visit: Visit) -> None:
    for version in (1, 4):
        report = (shop.server.artifacts / shop.made[version].evidence).with_name("report.html")
        visit.page.goto(report.as_uri())
        assert grave_faults(visit.page) == []


def test_a_version_is_promoted_with_the_keyboard_alone(server: GuardedServer, visit: Visit) -> None:
    shop, page = open_shop(server, "by-keys"), visit.page
    page.set_viewport_size({"width": 1280, "height": 860})
    page.goto(shop.page)
    for name, keys in (("promote-version", "v3"), ("promote-by", "ann"), ("promote-reason", "no mouse is needed")):
        _tab_to(page, name)
        page.keyboard.type(keys)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Promote"
    page.keyboard.press("Enter")
    result = page.locator("#result:focus")
    result.wait_for()
    assert "promoted, v3 is the champion now" in result.inner_text()
    assert shop.champion() == 3


def _tab_to(page: Page, identity: str) -> None:
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == identity:
            return
    raise AssertionError(f"80 tabs do not reach {identity}")
