"""The recordings of a real workspace in a real browser: seen, filtered and heard, on a wide and on a narrow screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.datasets.corrections import stored_clips
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.slot_shards import slot_shards
from pipelines.datasets.subject import Subject
from pipelines.local.service_commands import server_environment
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.accessibility import grave_faults
from tests.support.browser import HEARD, Visit
from tests.support.clips import tone, wav
from tests.support.deliveries import silence, write_delivery
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.workspaces import isolate, workspace_with_data

if TYPE_CHECKING:
    from playwright.sync_api import Locator

pytestmark = pytest.mark.integration

SLOT = Slot("plant-a", "asr")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """v1 and v2 are deliveries, the second with clips that cannot be used; v3 drops a speaker."""
    folder = tmp_path_factory.mktemp("recordings")
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        made = workspace_with_data(folder / "site", [SLOT], f"slots: {{{SLOT}: {{data: {{max_quarantined: 0.5}}}}}}\n")
        loud = {"bytes": wav(tone(0.5, 300, 1.4).clip(-1, 1))}
        bad = {
            "anna_0": {"bytes": silence()},
            "bert_1": {"bytes": b"no sound"},
            "bert_2": {"text": "12"},
            "anna_1": loud,
        }
        add_delivery(made, SLOT, write_delivery(folder / "second", **bad), options={"condition": "hall"})
        drop_clips(made, SLOT, Subject(speaker="ben"))
        yield made


@pytest.fixture(scope="module")
def data_server(tmp_path_factory: pytest.TempPathFactory, workspace: Workspace) -> Iterator[GuardedServer]:
    """A server that knows the workspace's data as `elp up` tells it."""
    told = {"ELP_DATA_ROOT": server_environment(workspace)["ELP_DATA_ROOT"]}
    with guarded_server(tmp_path_factory.mktemp("server"), environment=told) as running:
        yield running


def heard(player: Locator) -> float:
    """Load a player's sound and return its length in seconds."""
    length: Any = player.evaluate(HEARD)
    return float(length)


def test_clips_are_found_and_heard(data_server: GuardedServer, visit: Visit, workspace: Workspace) -> None:
    page = visit.page
    page.goto(f"{data_server.uri}/elp/data/{SLOT}")
    assert page.locator("audio").count() == 48
    assert page.locator("svg.histogram").count() == 4
    visit.screenshot("console-data")
    page.get_by_label("Speaker", exact=True).select_option("eve")
    page.get_by_label("Text, file name or id").fill("FOUR")
    with page.expect_navigation():
        page.get_by_role("button", name="Show").click()
    clips = page.get_by_role("region", name="Clips").locator("tbody tr")
    assert clips.count() == 2
    assert "golden" in clips.first.inner_text()
    assert heard(clips.first.locator("audio")) == pytest.approx(0.65, abs=0.01)
    with page.expect_navigation():
        clips.first.get_by_role("link").click()
    assert "v1 to v3" in page.get_by_role("region", name="History").inner_text()
    assert heard(page.locator("audio")) == pytest.approx(0.65, abs=0.01)
    visit.screenshot("console-clip")


def test_quarantine_is_heard_with_its_reason(data_server: GuardedServer, visit: Visit) -> None:
    page = visit.page
    page.goto(f"{data_server.uri}/elp/data/{SLOT}")
    with page.expect_navigation():
        page.get_by_role("link", name="outside alphabet").click()
    rows = page.get_by_role("region", name="Clips").locator("tbody tr")
    assert rows.count() == 1
    assert "audio/bert_2.wav" in rows.first.inner_text()
    assert heard(rows.first.locator("audio")) == pytest.approx(0.5, abs=0.01)
    page.get_by_role("link", name="Clips of all reasons").click()
    assert page.get_by_text("no sound", exact=True).count() == 1
    visit.screenshot("console-quarantine")


def test_a_dropped_speaker_is_gone_from_every_version(
    data_server: GuardedServer, visit: Visit, workspace: Workspace
) -> None:
    page = visit.page
    page.goto(f"{data_server.uri}/elp/data/{SLOT}?version=1")
    assert "8 clips of data/plant-a/asr/v1 were dropped since" in page.locator("main").inner_text()
    assert page.get_by_text("ben-", exact=False).count() == 0
    [kept] = [
        clip for clip in stored_clips(slot_shards(workspace, SLOT, "shards")).values() if "ann-one-0" in clip.path
    ]
    answer = page.request.get(
        f"{data_server.uri}/elp/data/{SLOT}/clips/{kept.id}/sound", headers={"Range": "bytes=0-99"}
    )
    assert (answer.status, len(answer.body())) == (206, 100)


def test_the_data_docs_open_from_the_page(data_server: GuardedServer, visit: Visit) -> None:
    visit.page.goto(f"{data_server.uri}/elp/data/{SLOT}")
    visit.page.get_by_role("link", name="Data Docs").click()
    assert visit.page.get_by_role("heading", level=1).inner_text() == "Checked deliveries of plant-a/asr"
    visit.page.get_by_role("link", name="drop").click()
    assert "Succeeded" in visit.page.locator("body").inner_text()


def test_a_telephone_in_the_dark_shows_and_plays(data_server: GuardedServer, visit: Visit) -> None:
    page = visit.page
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    for address in ("", "/quarantine", "?text=four"):
        page.goto(f"{data_server.uri}/elp/data/{SLOT}{address}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert heard(page.locator("audio").first) > 0
        assert page.locator("audio").first.evaluate("player => player.offsetWidth") >= 120
    page.goto(f"{data_server.uri}/elp/data/{SLOT}")
    assert page.evaluate("getComputedStyle(document.querySelector('svg .column')).fill") == "rgb(124, 184, 245)"
    page.locator("#shapes").evaluate("heading => heading.scrollIntoView()")
    visit.screenshot("console-data-narrow")
    with page.expect_navigation():
        page.get_by_role("region", name="Clips").locator("tbody a").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_pages_of_data_have_no_grave_fault(data_server: GuardedServer, visit: Visit) -> None:
    page, found = visit.page, list[str]()
    for address in ("", SLOT, f"{SLOT}/quarantine"):
        page.goto(f"{data_server.uri}/elp/data/{address}")
        found += grave_faults(page)
    page.goto(f"{data_server.uri}/elp/data/{SLOT}")
    with page.expect_navigation():
        page.get_by_role("region", name="Clips").locator("tbody a").first.click()
    assert found + grave_faults(page) == []
