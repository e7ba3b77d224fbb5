"""The glossary and the texts on hover and focus, which are the same."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from pipelines.registry.verdict import Outcome
from pipelines.server.pages.glossary import GLOSSARY, find_term
from tests.support.html import faults, read_html

TERMS = [term for terms in GLOSSARY.values() for term in terms]


def test_every_term_has_its_place_and_its_meaning(client: FlaskClient) -> None:
    page = read_html(client.get("/elp/glossary").text)
    assert faults(page) == []
    shown = {dt.attributes["id"]: dt.text for dt in page.all("dt")}
    assert shown == {term.anchor: term.title for term in TERMS}
    assert [dd.text for dd in page.all("dd")] == [term.meaning for term in TERMS]


def test_no_term_is_there_twice() -> None:
    assert len({term.word for term in TERMS}) == len({term.anchor for term in TERMS}) == len(TERMS)


@pytest.mark.parametrize("address", ["/elp/", "/elp/slots/plant-a/asr", "/elp/slots/plant-a/asv"])
def test_the_words_of_a_page_lead_to_the_glossary(client: FlaskClient, address: str) -> None:
    page = read_html(client.get(address).text)
    known = {f"/elp/glossary#{term.anchor}": term.meaning for term in TERMS}
    words = [span for span in page.all("span") if span.attributes.get("class") == "term"]
    assert words
    for word in words:
        link, tip = word.all("a")[0], word.all("span")[-1]
        assert tip.attributes["id"] == link.attributes["aria-describedby"]
        assert tip.text == known[link.attributes["href"]]


def test_metrics_with_variants_and_all_outcomes_are_explained() -> None:
    found = find_term("cer_reading")
    assert found
    assert found.word == "cer"
    assert find_term("own_metric") is None
    for outcome in re.findall(r"'(\w+)'", str(Outcome)):
        assert find_term(outcome)
