"""The console as a person uses it, with a real browser on the real server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.browser import Visit, browser
from tests.support.guarded_server import GuardedServer
from tests.support.shop import Shop, open_shop

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def visit() -> Iterator[Visit]:
    """One browser; nothing may leave the machine, and no script may fail."""
    with browser(1280, 860) as opened:
        opened.page.on("dialog", _accept)
        yield opened
        assert opened.left_the_machine() == []
        assert opened.errors == []


def _accept(dialog: Dialog) -> None:
    dialog.accept()


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page


@pytest.fixture(scope="module")
def seen(server: GuardedServer) -> Shop:
    """A slot that is looked at only."""
    return open_shop(server, "plant-a")


def pixels(png: bytes) -> NDArray[np.uint8]:
    """The colours of a picture, uint8 [height, width, 3]."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def act(page: Page, section: str, reason: str, by: str = "ann") -> None:
    """Fill in and send a form of the slot's page."""
    form = page.get_by_role("region", name=section)
    form.get_by_label("Your name").fill(by)
    form.get_by_label("Reason").fill(reason)
    with page.expect_navigation():
        form.get_by_role("button").click()


def result(page: Page) -> str:
    """What the page says became of it."""
    result = page.locator("#result:focus")
    result.wait_for()
    return result.inner_text()


def test_a_champion_is_rolled_back_and_promoted_again(server: GuardedServer, page: Page, visit: Visit) -> None:
    shop = open_shop(server, "roll-back")
    page.goto(shop.page)
    act(page, "Roll back", "it drops the last word on line 3")
    assert "rolled back, v1 is the champion now" in result(page)
    visit.screenshot("console-rolled-back")
    assert shop.champion() == 1
    row = page.get_by_role("region", name="Ledger").get_by_role("row").nth(1).inner_text()
    assert "rolled back" in row
    assert "it drops the last word on line 3" in row
    promote = page.get_by_role("region", name="Promote")
    promote.get_by_label("Version", exact=True).select_option("2")
    act(page, "Promote", "line 3 was the microphone")
    assert "v2 was rolled back" in result(page)
    assert promote.get_by_text("by ann (not signed in): it drops the last word on line 3").is_visible()
    promote.get_by_label("Promote it again although it was rolled back").check()
    act(page, "Promote", "line 3 was the microphone")
    assert "promoted, v2 is the champion now; the champion before it was v1" in result(page)
    assert shop.champion() == 2


def test_a_passed_version_is_promoted(server: GuardedServer, page: Page) -> None:
    shop = open_shop(server, "promote")
    page.goto(shop.page)
    act(page, "Promote", "better on every line")
    assert "promoted, v3 is the champion now; the champion before it was v2" in result(page)
    assert shop.champion() == 3


def test_a_failed_version_is_refused_with_the_servers_sentence(server: GuardedServer, page: Page, visit: Visit) -> None:
    shop = open_shop(server, "refuse")
    page.goto(shop.page)
    page.get_by_label("Version", exact=True).select_option("4")
    act(page, "Promote", "we need it <script>alert(1)</script>")
    said = result(page)
    assert "the gate's verdict is failed: " in said
    assert "the report: /elp/slots/refuse/asr/v4/report, all reasons: elp audit refuse/asr 4" in said
    visit.screenshot("console-refused")
    assert shop.champion() == 2
    assert page.get_by_role("region", name="Promote").get_by_label("Reason").input_value().endswith("</script>")
    ledger = page.get_by_role("region", name="Ledger").first
    assert "1 × promote by" in ledger.inner_text()
    ledger.get_by_role("link", name="Show each refused request").click()
    assert "was refused: promote (v4)" in ledger.get_by_role("row").nth(1).inner_text()


def test_what_may_be_promoted_is_chosen_and_never_a_rejected_version(server: GuardedServer, page: Page) -> None:
    shop = open_shop(server, "chosen")
    page.goto(shop.page)
    promote = page.get_by_role("region", name="Promote")
    version = promote.get_by_label("Version", exact=True)
    assert version.input_value() == "3"
    act(page, "Promote", "better on every line")
    assert "v3 is the champion now" in result(page)
    # only v4 is left, which failed
    assert version.input_value() == ""
    promote.get_by_label("Reason").fill("anything")
    promote.get_by_role("button").click()
    assert version.evaluate("field => field.validity.valueMissing")
    assert shop.champion() == 3


def test_a_slot_is_retired(server: GuardedServer, page: Page) -> None:
    shop = open_shop(server, "retire")
    page.goto(shop.page)
    act(page, "Retire", "the plant was sold")
    assert "retired" in result(page)
    assert shop.champion() is None


def test_links_lead_from_the_lineage_to_a_clip(seen: Shop, page: Page, visit: Visit) -> None:
    page.goto(seen.page)
    visit.screenshot("console-slot")
    lineage = page.get_by_role("region", name="Where v2 comes from").first
    lineage.evaluate("region => region.scrollIntoView()")
    visit.screenshot("console-lineage")
    with page.expect_navigation():
        lineage.get_by_role("link", name="golden set").first.click()
    clips = page.get_by_role("region", name="Clips").get_by_role("row")
    assert clips.count() == 81
    assert clips.filter(has_text="stop belt three right <b>now</b>").count() == 16


def test_the_gate_result_leads_to_both_answers_of_every_clip(seen: Shop, page: Page, visit: Visit) -> None:
    page.goto(f"{seen.page}?version=4")
    page.get_by_role("link", name="Every golden clip with its answers").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Golden clips of plant-a/asr v4"
    clips = page.get_by_role("region", name="Clips").first
    assert "80 clips: v4 makes 80 worse and 0 better than v2 (champion then)." in clips.inner_text()
    row = clips.get_by_role("row").nth(1).inner_text()
    assert "0 → 2 of 5" in row
    assert "+2 worse" in row
    visit.screenshot("console-clips")
    clips.get_by_label("Condition").select_option("press")
    clips.get_by_label("Speaker").select_option("s1")
    clips.get_by_role("button", name="Show").click()
    page.wait_for_url("**condition=press&speaker=s1**")
    shown = page.get_by_role("region", name="Clips").first
    assert " of 80: v4 makes" in shown.inner_text()
    assert {cell.inner_text() for cell in shown.locator("tbody td:nth-child(3)").all()} == {"press"}


def test_marks_are_more_than_colours_on_a_telephone_in_the_dark(seen: Shop, page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{seen.page}/v4/clips")
    marks = {"del": "textDecorationLine", "ins": "textDecorationLine", ".swap": "borderTopStyle"}
    found = [
        page.locator(f"tbody {mark}").first.evaluate(f"mark => getComputedStyle(mark).{style}")
        for mark, style in marks.items()
    ]
    assert found == ["line-through", "underline", "solid"]
    for address in (
        f"{seen.page}/v4/clips",
        f"{seen.page}/compare?a=2&b=4",
        f"{seen.server.uri}/elp/glossary",
        seen.page,
    ):
        page.goto(address)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 23, 28)"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
        wide = page.locator("table").evaluate_all("tables => tables.filter(table => !table.closest('.wide')).length")
        assert wide == 0, f"a table of {address} does not scroll inside itself"
    assert page.get_by_role("region", name="Promote").get_by_label("Version", exact=True).input_value() == "3"
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 860})


def test_two_versions_are_compared(seen: Shop, page: Page, visit: Visit) -> None:
    page.goto(seen.page)
    chooser = page.get_by_role("form", name="Compare two versions")
    assert chooser.get_by_label("Compare").input_value() == "2"
    chooser.get_by_label("with").select_option("4")
    chooser.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/compare?a=2&b=4")
    text = page.locator("main").inner_text()
    assert "v4: WER +28.00 points against v2: more errors" in text
    assert "Nothing: all " in text
    rows = page.get_by_role("region", name="By recording condition").first.get_by_role("row")
    assert rows.count() == 4
    assert "+28" in rows.nth(1).inner_text()
    assert page.get_by_role("region", name="Clips").first.get_by_role("row").count() == 81
    visit.screenshot("console-compare")


def test_words_are_explained_on_hover_and_focus_and_in_the_glossary(seen: Shop, page: Page) -> None:
    page.goto(seen.page)
    link = page.get_by_role("region", name="Decision").get_by_role("link", name="WER").first
    tip = page.get_by_role("tooltip").filter(has_text="word error rate").first
    assert not tip.is_visible()
    link.focus()
    tip.wait_for()
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    link.hover()
    tip.wait_for()
    link.click()
    page.wait_for_url("**/elp/glossary#term-wer")
    assert page.get_by_role("heading", level=1).inner_text() == "Glossary"


@pytest.mark.parametrize("dark", [False, True])
def test_plots_have_the_colours_of_the_page(seen: Shop, page: Page, dark: bool) -> None:
    page.emulate_media(color_scheme="dark" if dark else "light")
    page.goto(seen.page)
    plot = page.locator("img.plot").first
    plot.scroll_into_view_if_needed()
    assert plot.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") <= 620
    shown = pixels(plot.screenshot(animations="disabled"))
    page.emulate_media(color_scheme="light")
    panel = (27, 36, 43) if dark else (255, 255, 255)
    assert abs(np.median(shown, axis=(0, 1)) - panel).max() <= 3
    # the texts are at the other end of the scale
    brightness = shown.mean(axis=2)
    assert brightness.max() > 200
    assert brightness.min() < 60


def test_the_evidence_is_shown(seen: Shop, page: Page) -> None:
    page.goto(seen.page)
    for image in page.locator("figure img").all():
        image.scroll_into_view_if_needed()
        assert image.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 0
    page.get_by_role("link", name="The whole report").click()
    report = page.frame_locator("iframe").get_by_role("heading", level=1)
    report.wait_for(timeout=20_000)
    assert "This adapter may be promoted" in report.inner_text()


def test_a_run_and_a_version_open_in_mlflow(seen: Shop, page: Page) -> None:
    page.goto(seen.page)
    page.get_by_role("region", name="Where v2 comes from").get_by_role("link", name="MLflow run").click()
    page.get_by_text(seen.made[2].run_id).first.wait_for(timeout=20_000)
    page.goto(seen.page)
    page.get_by_role("link", name="run of version 3 in MLflow").click()
    page.get_by_text(seen.made[3].run_id).first.wait_for(timeout=20_000)
    page.goto(seen.page)
    page.get_by_role("region", name="Where v2 comes from").get_by_role("link", name="bundle").click()
    page.get_by_text("Version 2").first.wait_for(timeout=20_000)


def test_the_console_is_reached_from_the_models_page_in_mlflow(seen: Shop, page: Page, visit: Visit) -> None:
    page.goto(f"{seen.server.uri}/#/models/{seen.model}")
    link = page.get_by_role("link", name="History, lineage and ledger of plant-a/asr")
    link.wait_for(timeout=20_000)
    visit.screenshot("mlflow-link-to-console")
    with page.expect_popup() as opened:
        link.click()
    assert opened.value.url == seen.page
    assert opened.value.get_by_role("heading", level=1).inner_text() == "plant-a/asr"
    opened.value.close()


def test_the_keyboard_alone_reaches_and_uses_everything(server: GuardedServer, page: Page) -> None:
    shop = open_shop(server, "keyboard")
    page.goto(f"{server.uri}/elp/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.get_by_label("Sites whose name contains").focus()
    page.keyboard.type("keyb")
    assert page.locator("#shown").inner_text().startswith("1 of ")
    _tab_to(page, "keyboard/asr, champion version 2")
    page.keyboard.press("Enter")
    page.wait_for_url("**/slots/keyboard/asr")
    _tab_to(page, "rollback-by")
    page.keyboard.type("ann")
    page.keyboard.press("Tab")
    page.keyboard.type("without a mouse")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert "rolled back, v1 is the champion now" in result(page)
    assert shop.champion() == 1


def _tab_to(page: Page, name: str) -> None:
    """Press Tab until the element of this id or label has the focus, and see that it shows."""
    script = "(e => [e.id, e.getAttribute('aria-label'), getComputedStyle(e).outlineStyle])(document.activeElement)"
    for _ in range(60):
        page.keyboard.press("Tab")
        identity, label, outline = page.evaluate(script)
        assert outline != "none", f"the focus on {identity or label} does not show"
        if name in (identity, label):
            return
    raise AssertionError(f"60 tabs do not reach {name}")


@pytest.mark.parametrize("width", [320, *(pytest.param(one, marks=pytest.mark.slow) for one in (390, 768)), 1280])
def test_pages_fit_their_window(seen: Shop, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 860})
    console = f"{seen.server.uri}/elp/"
    golden = f"{console}datasets/golden/plant-a/asr/v1"
    for address in (console, seen.page, golden, f"{seen.page}/v4/clips", f"{seen.page}/compare", f"{console}glossary"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
    page.set_viewport_size({"width": 1280, "height": 860})


def test_dark_follows_the_reader_and_mlflows_own_switch(seen: Shop, page: Page, visit: Visit) -> None:
    background, switch = "getComputedStyle(document.body).backgroundColor", "_mlflow_dark_mode_toggle_enabled"
    page.emulate_media(color_scheme="dark")
    page.goto(seen.page)
    # MLflow's own pages, once seen, leave their choice behind
    page.evaluate(f"localStorage.removeItem('{switch}')")
    page.reload()
    assert page.evaluate(background) == "rgb(17, 23, 28)"
    visit.screenshot("console-dark")
    page.evaluate(f"localStorage.setItem('{switch}', 'false')")
    page.reload()
    assert page.evaluate(background) == "rgb(246, 247, 249)"
    page.evaluate(f"localStorage.removeItem('{switch}')")
    page.emulate_media(color_scheme="light")


def test_the_grid_is_filtered_by_site(seen: Shop, page: Page) -> None:
    page.goto(f"{seen.server.uri}/elp/?site=plant")
    assert "WER 12.00 %" in page.get_by_role("row", name="plant-a").inner_text()
    assert not page.get_by_role("row", name="roll-back").is_visible()
