"""The pages after real runs: the demo is run, or continued in the folder ELP_DEMO, and looked at in a browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.texts.message_catalogue import LANGUAGES
from tests.support.browser import HEARD, Visit, browser, require_font
from tests.support.manager_pages import show_manager_pages

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(2400)]

KEPT = os.environ.get("ELP_DEMO", "")
"""Read before the tests get an environment of their own."""


def _demo(folder: Path, *options: str) -> str:
    elp = Path(sys.executable).with_name("elp")
    done = subprocess.run([elp, "demo", "--folder", folder, *options], capture_output=True, text=True, timeout=2000)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of the demo's servers."""
    folder = Path(KEPT) if KEPT else tmp_path_factory.mktemp("pages") / "demo"
    shown = json.loads(_demo(folder, "--json"))
    yield {name: str(shown[name]) for name in ("mlflow", "prefect")} | {"folder": str(folder)}
    if not KEPT:
        _demo(folder, "--down")


@pytest.fixture
def visit(demo: dict[str, str]) -> Iterator[Visit]:
    with browser(width=1100, height=760) as opened:
        yield opened
        assert opened.left_the_machine() == []
        assert opened.errors == []


def test_the_first_page_has_every_slot(visit: Visit, demo: dict[str, str]) -> None:
    visit.page.goto(f"{demo['mlflow']}/elp/")
    assert visit.page.get_by_text("4 slots, 4 with a champion").count() == 1
    visit.screenshot("demo-console")


def test_the_slot_of_the_bad_delivery_keeps_its_champion(visit: Visit, demo: dict[str, str]) -> None:
    visit.page.goto(f"{demo['mlflow']}/elp/slots/plant-a/asr")
    cards = visit.page.get_by_role("region", name="Decision")
    assert cards.get_by_text("failed", exact=True).count() >= 1
    assert cards.get_by_text("v1", exact=False).count() >= 1
    visit.screenshot("demo-decision")


def test_the_answers_of_both_are_side_by_side(visit: Visit, demo: dict[str, str]) -> None:
    visit.page.goto(f"{demo['mlflow']}/elp/slots/plant-a/asr/v2/clips")
    assert visit.page.locator("table ins, table del, table mark").count() > 0
    assert visit.page.locator("audio").first.evaluate(HEARD) > 0.3
    visit.screenshot("demo-clips")


def test_the_recordings_are_described_and_heard(visit: Visit, demo: dict[str, str]) -> None:
    visit.page.goto(f"{demo['mlflow']}/elp/data/plant-a/asr")
    assert visit.page.locator("audio").first.evaluate(HEARD) > 0.3
    visit.screenshot("demo-data")


def test_prefect_has_the_runs_at_the_same_address(visit: Visit, demo: dict[str, str]) -> None:
    assert demo["prefect"].startswith(demo["mlflow"])
    visit.page.goto(f"{demo['prefect'].rstrip('/')}/runs")
    visit.page.get_by_text("retrain plant-a/asr").first.wait_for()
    visit.screenshot("demo-runs")


def test_mlflow_shows_first_what_decides(visit: Visit, demo: dict[str, str]) -> None:
    visit.page.goto(f"{demo['mlflow']}/#/models/elp.plant-a.asr/versions/2")
    visit.page.get_by_text("elp.verdict").first.wait_for()
    visit.screenshot("demo-mlflow")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pages_for_managers_have_the_numbers_of_the_records(
    visit: Visit, demo: dict[str, str], language: str
) -> None:
    require_font(language)
    show_manager_pages(visit, Path(demo["folder"]), language)
