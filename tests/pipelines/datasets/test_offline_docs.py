"""Data Docs work without a network: no page asks another host, and the list of deliveries is there."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from pipelines.datasets.expectations import validate_rows
from pipelines.datasets.offline_docs import make_offline, offline_page
from tests.pipelines.datasets.test_expectations import RULES

BAD = {"id": ["a"], "duration": [1.0], "text": ["öl"], "speaker": ["anna"], "split": ["train"]}


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of a delivery with an odd name. Great Expectations keeps those of the newest one only."""
    folder = tmp_path_factory.mktemp("docs") / "plant-a" / "asr"
    validate_rows(pd.DataFrame(BAD), RULES, "plant-a-asr", "tuesday & co", folder)
    return folder


@pytest.mark.integration
def test_no_page_names_a_file_of_another_host_or_has_a_script(docs: Path) -> None:
    pages = sorted(docs.rglob("*.html"))
    assert len(pages) == 3
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert re.findall(r"<script|(?:src|href)=[\"']?(?:https?:)?//|url\(", text) == [], page.name
        assert text.count("Content-Security-Policy") == 1


@pytest.mark.integration
def test_the_list_names_the_delivery_with_its_status(docs: Path) -> None:
    text = (docs / "index.html").read_text(encoding="utf-8")
    found = re.findall(r"</i> (\w+)</td>.*?<a href=\"(validations[^\"]+)\">([^<]+)<", text)
    assert [(status, name) for status, _, name in found] == [("Failed", "delivery tuesday &amp; co")]
    assert all((docs / link.replace("%20", " ").replace("%26", "&")).is_file() for _, link, _ in found)


@pytest.mark.integration
def test_pages_that_are_done_stay_as_they_are(docs: Path) -> None:
    before = {page: page.stat().st_mtime_ns for page in docs.rglob("*.html") if page.name != "index.html"}
    make_offline(docs)
    assert {page: page.stat().st_mtime_ns for page in before} == before


@pytest.mark.integration
def test_a_browser_shows_the_pages_and_asks_nobody(docs: Path) -> None:
    from tests.support.browser import browser

    with browser() as visit:
        visit.page.goto(f"{(docs / 'index.html').as_uri()}")
        visit.page.get_by_role("link", name="tuesday & co").click()
        visit.page.get_by_text("Expectation Validation Result").wait_for(timeout=20_000)
        assert "✘" in visit.page.evaluate("getComputedStyle(document.querySelector('.fa-times'), '::before').content")
        assert visit.left_the_machine() == []
        assert visit.errors == []


@pytest.mark.parametrize(
    ("given", "gone"),
    [
        ('<head></head><script src="https://x/a.js"></script>', "x/a.js"),
        ("<head></head><SCRIPT>\nevil(1)\n</SCRIPT >", "evil"),
        ("<head></head><link rel=stylesheet href=//x/a.css>", "x/a.css"),
        ("<head></head><img alt='a' src='http://x/a.png' />", "x/a.png"),
        ("<head></head><style>a { background: url('https://x/a.png') }</style>", "x/a.png"),
    ],
)
def test_each_way_to_name_another_host_is_taken_out(given: str, gone: str) -> None:
    assert gone not in offline_page(given)
