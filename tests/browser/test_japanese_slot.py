"""A Japanese slot in the console: characters decided, and its newest verdict is under another normaliser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from elp_core.languages import NormaliserId
from pipelines.registry.signing.keys import load_trusted_keys
from pipelines.registry.slot import Slot
from pipelines.registry.slot_description import slot_description
from tests.support.browser import Visit, browser, require_font
from tests.support.guarded_server import GuardedServer
from tests.support.judged_by_hand import Japanese, judge
from tests.support.rest import Rest
from tests.support.versions_by_hand import API, promote, register

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.integration

BEFORE, NOW = (Japanese(NormaliserId("ja/1", "sha256:" + digit * 64)) for digit in "1a")
ERRORS = [1, 0, 2, 1, 1] * 16


@pytest.fixture(scope="module")
def slot(server: GuardedServer) -> Slot:
    """v1 was judged under a normaliser of the past and is champion; v2 and v3 are judged under the present one."""
    slot, rest, keys = Slot("kojo", "asr"), Rest(server.uri), load_trusted_keys(server.keys)
    rest.post(f"{API}/registered-models/create", {"name": slot.model_name, "description": slot_description(slot)})
    first, second, third = (register(rest, slot.model_name, f"kojo {n}", lineage=keys) for n in (1, 2, 3))
    judge(rest, first, ERRORS, None, keys, BEFORE)
    promote(rest, first, "the first one")
    rest.post("/elp/api/v1/retire", {"slot": str(slot), "reason": "its normaliser is gone"})
    judge(rest, second, ERRORS, None, keys, NOW)
    promote(rest, second, "the first under the new one")
    judge(rest, third, [1, 0, 1, 1, 1] * 16, (second, ERRORS), keys, NOW)
    return slot


def _open(visit: Visit, server: GuardedServer, address: str) -> Page:
    visit.page.goto(f"{server.uri}/elp/{address}")
    return visit.page


def test_characters_are_named_wherever_they_decided(server: GuardedServer, slot: Slot, visit: Visit) -> None:
    cell = _open(visit, server, "?site=kojo").get_by_role("row", name="kojo").inner_text()
    assert "CER 20.00 %" in cell
    page = _open(visit, server, f"slots/{slot}")
    text = page.locator("main").inner_text()
    assert "reported only: CER (reading) 12.50 %, WER 75.00 %" in text
    assert page.locator("figure svg").first.get_by_text("CER on the golden set over time").count() == 1
    assert "under the normaliser ja/1 aaaaaaaaaaaa" in text


def test_values_under_another_normaliser_are_marked_and_not_drawn(
    server: GuardedServer, slot: Slot, visit: Visit
) -> None:
    page = _open(visit, server, f"slots/{slot}")
    assert page.locator("circle.mark").count() == 2
    assert "1 verdict is not drawn: measured by another metric or under another normaliser" in (
        page.locator("figcaption").first.inner_text()
    )
    rows = page.get_by_role("region", name="Versions").locator("tbody tr")
    marked = [row.inner_text() for row in rows.all() if "not comparable" in row.inner_text()]
    assert len(marked) == 1
    assert marked[0].startswith("v1")
    assert "under ja/1 111111111111…: not comparable" in marked[0]


def test_what_was_said_is_found_and_marked_as_japanese(server: GuardedServer, slot: Slot, visit: Visit) -> None:
    page = _open(visit, server, f"datasets/golden/{slot}/v1")
    said = page.get_by_text("扉を開けて", exact=True)
    assert said.count() == 80
    assert (said.first.get_attribute("lang"), said.first.get_attribute("dir")) == ("ja", "auto")
    assert "wrong characters" in page.get_by_role("region", name="Clips").locator("thead").inner_text()
    assert page.get_by_text("wrong words").count() == 0
    require_font("ja")
    visit.screenshot("console-japanese-clips")


@pytest.mark.parametrize("width", [320, 390])
def test_pages_of_a_japanese_slot_fit_a_telephone(server: GuardedServer, slot: Slot, width: int) -> None:
    with browser(width, 844, dark=True) as narrow:
        for address in ("", f"slots/{slot}", f"datasets/golden/{slot}/v1"):
            page = _open(narrow, server, address)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
