"""The pages for managers on paper: the plan of a proof of concept on one page of A4, the report of a task on two."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.local.settings import read_settings
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from pipelines.registry.verdict_statement import NamedOutcome
from pipelines.reporting.poc_page import poc_page
from pipelines.reporting.poc_plan import make_poc_plan
from pipelines.reporting.site_page import site_page
from pipelines.reporting.site_report import SiteReport
from pipelines.texts.message_catalogue import LANGUAGES, texts
from tests.support.browser import Visit, browser
from tests.support.full_width_font import full_width_style
from tests.support.proof import DETAILS, verdict
from tests.support.reported_site import judged, reported_site, write_compared

A4 = (595, 842)
"""In points, rounded."""
WIDTHS = (1250, 900, 390)
"""Of windows, in CSS pixels: a desktop, the pictures of the documentation, a telephone."""


@pytest.fixture(scope="module")
def visit() -> Iterator[Visit]:
    with browser() as opened:
        yield opened
        assert opened.left_the_machine() == []


def _printed(visit: Visit, file: Path, page: str) -> int:
    """Open a page and return on how many sheets of A4 it prints; nothing is cut at the right side, on no screen."""
    file.write_text(page, encoding="utf-8")
    visit.page.goto(file.as_uri())
    if '<html lang="ja">' in page:
        visit.page.add_style_tag(content=full_width_style(page))
        assert visit.page.evaluate("document.fonts.ready.then(found => [...found].map(one => one.status))") == [
            "loaded"
        ]
    for width in WIDTHS:
        visit.page.set_viewport_size({"width": width, "height": 1250})
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width, width
    document = visit.page.pdf(prefer_css_page_size=True)
    sizes = re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", document)
    assert {(round(float(wide)), round(float(high))) for wide, high in sizes} == {A4}
    return len(re.findall(rb"/Type\s*/Page\b", document))


def _full_report(state: Path) -> SiteReport:
    """A report that has most of what one task can have: conditions, groups, reasons, failed checks, other prices."""
    report = reported_site(state, currency="JPY", label_price=4000.0, sites=12_000)
    (slot,) = report.slots
    assert slot.recorded is not None
    places = {f"line {number} with the press": 40 * number for number in range(1, 9)}
    recorded = replace(
        slot.recorded,
        conditions=places,
        groups={"dialect": {f"region {number}": 90 for number in range(8)}, "shift": {"day": 500, "night": 450}},
        reasons={"too short": 120, "transcript has other characters": 40, "clipped": 30, "duplicate": 10},
        quarantined=200,
        taught_seconds=900.0,
    )
    outcomes = ("failed", "undecided", "passed")
    details = replace(
        DETAILS,
        checks=tuple(NamedOutcome(f"check {number} of the gate", outcomes[number % 3]) for number in range(6)),
        slices=tuple(NamedOutcome(name, outcomes[number % 3], "group") for number, name in enumerate(places)),
    )
    champion = judged(3, verdict(details=details, challenger_interval=(0.06, 0.105)))
    full = replace(slot, recorded=recorded, champion=champion, looks=0, licence="")
    return replace(report, slots=(full,), stated=("currency", "label_price", "sites"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_of_one_task_prints_on_two_pages_at_most(visit: Visit, tmp_path: Path, language: str) -> None:
    said = texts(language)
    assert _printed(visit, tmp_path / "usual.html", site_page(said, reported_site(tmp_path / "usual"))) <= 2
    assert _printed(visit, tmp_path / "full.html", site_page(said, _full_report(tmp_path / "full"))) == 2


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("task", "text", "target", "measured"),
    [
        # with the warning of a lax target, and a curve of this slot
        ("asr", "", None, True),
        ("asv", "", 0.1, False),
        (
            "sic",
            "slots: {long-name-of-a-plant-in-the-north/sic: {data: {closed_set: true, split_by: clip}}}",
            0.05,
            False,
        ),
    ],
)
def test_the_plan_prints_on_one_page(
    visit: Visit, tmp_path: Path, language: str, task: str, text: str, target: float | None, measured: bool
) -> None:
    workspace, slot = Workspace(tmp_path, read_settings(text)), Slot("long-name-of-a-plant-in-the-north", task)
    if measured:
        write_compared(workspace.state, slot=str(slot))
    plan = make_poc_plan(workspace, slot, target)
    assert _printed(visit, tmp_path / "plan.html", poc_page(texts(language), plan, workspace.settings.report)) == 1
