"""A served request in a real browser: heard, corrected and taken with the keyboard alone, in both colour schemes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from elp_core.audio import clip_id, encode_flac
from pipelines.registry.slot import Slot
from pipelines.request_log.log_file import add_requests, log_path, log_transaction, opened_log
from tests.support.accessibility import grave_faults
from tests.support.browser import HEARD, Visit
from tests.support.clips import voice
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.served_requests import kept, served
from tests.support.slot_by_hand import SlotByHand, row

pytestmark = pytest.mark.integration
SLOT, SOUND, NOW = Slot("plant-a", "asr"), voice(0.5, 300, 7), datetime.now(UTC)
UNSURE = served(1, at=NOW, clip=clip_id(SOUND), measurements={"confidence": 0.3, "snr_db": 12.0, "seconds": 0.5})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = SlotByHand.make(tmp_path_factory.mktemp("requests") / "workspace", SLOT)
    made.add(1, [row(seed) for seed in range(3)])
    (made.root / "elp.yaml").write_text("backbone: elp:tiny\n")
    with opened_log(log_path(made.root / ".elp", SLOT), create=True) as db, log_transaction(db):
        audio = kept(encode_flac(SOUND), NOW + timedelta(days=2))
        add_requests(db, [(UNSURE, audio), *((served(n, at=NOW), None) for n in range(10, 70))])
    return made.root


@pytest.fixture(scope="module")
def request_server(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[GuardedServer]:
    with guarded_server(tmp_path_factory.mktemp("server"), environment={"ELP_DATA_ROOT": str(root)}) as running:
        yield running


def test_a_request_is_heard_corrected_and_taken_by_keyboard(
    request_server: GuardedServer, visit: Visit, root: Path
) -> None:
    page = visit.page
    page.goto(f"{request_server.uri}/elp/requests/{SLOT}")
    page.get_by_label("Order").select_option("confidence")
    page.get_by_label("Confidence below").fill("0.35")
    with page.expect_navigation():
        page.get_by_role("button", name="Show").click()
    rows = page.get_by_role("region", name="Requests").locator("tbody tr")
    assert "30" in rows.first.inner_text()
    assert float(rows.first.locator("audio").evaluate(HEARD)) == pytest.approx(0.5, abs=0.01)
    with page.expect_navigation():
        rows.first.get_by_role("link").press("Enter")
    page.get_by_label("Transcript").fill("stop the pump")
    page.get_by_label("Speaker").fill("anna")
    page.get_by_label("Your name").fill("ann")
    take = page.get_by_role("button", name="Take it into the next dataset version")
    take.focus()
    with page.expect_navigation():
        page.keyboard.press("Enter")
    result = page.locator("#result:focus")
    result.wait_for()
    assert "it is in the inbox of plant-a/asr" in result.inner_text()
    assert [one.name for one in (root / "inbox/plant-a/asr").iterdir()] == [f"request-{UNSURE.id[:16]}"]


def test_the_pages_of_requests_have_no_grave_fault(request_server: GuardedServer, visit: Visit) -> None:
    page, found = visit.page, list[str]()
    for address in ("", "?below=no", f"/{UNSURE.id}", f"/{served(10).id}"):
        page.goto(f"{request_server.uri}/elp/requests/{SLOT}{address}")
        found += grave_faults(page)
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert found == []
