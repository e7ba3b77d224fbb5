"""The answers as HTML page and as bill of materials."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from sqlite3 import Connection
from typing import Any

import pytest

from pipelines.audit.adapter_records import AdapterRecords, find_records
from pipelines.audit.adapter_tree import adapter_tree
from pipelines.audit.bill_of_materials import bill_of_materials
from pipelines.audit.champion_periods import find_champions, find_on_backbone
from pipelines.audit.erasure_plan import plan_erasure
from pipelines.audit.facts import Fact
from pipelines.audit.tables import (
    AuditAnswer,
    answer_page,
    answer_pages,
    backbone_answer,
    champions_answer,
    erasure_answer,
    trained_on_answer,
    tree_answer,
)
from pipelines.audit.trained_on import find_trained_on
from pipelines.cli.moments import read_moment
from pipelines.datasets.subject import Subject
from pipelines.errors import RegistryError
from pipelines.registry.statements import Material
from pipelines.texts.english_phrases import phrase
from tests.support.audited import ASR, Ground
from tests.support.both_languages import compare_pages
from tests.support.html import read_html
from tests.support.proof import DETAILS, FINGERPRINT, verdict

pytestmark = pytest.mark.integration


@pytest.fixture
def subject(ground: Ground) -> AdapterRecords:
    return find_records(ground.records, ASR, 2)


def _answers(index: Connection, ground: Ground) -> list[AuditAnswer]:
    records, ann = ground.records, Subject(speaker="ann")
    return [
        champions_answer(find_champions(records, read_moment("--at", "2026-01-04"))),
        backbone_answer(find_on_backbone(records, FINGERPRINT)),
        trained_on_answer(find_trained_on(index, records, ann)),
        erasure_answer(plan_erasure(index, records, ann)),
        tree_answer(adapter_tree(index, find_records(records, ASR, None)), verified=False),
    ]


class _Page(HTMLParser):
    """Counts what a page opens and closes, and keeps the addresses it names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action")]
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_answer_is_a_page_that_requests_nothing(index: Connection, ground: Ground) -> None:
    for answer in _answers(index, ground):
        text = answer_page(answer, "http://127.0.0.1:5000")
        page = _Page(text)
        assert (page.open, page.addresses) == ([], []), answer.title
        assert "<script" not in text
        assert not re.search(r"url\(|@import", text)
        assert "default-src 'none'" in text
        assert "prefers-color-scheme: dark" in text


def test_what_a_delivery_wrote_cannot_become_markup() -> None:
    answer = AuditAnswer("<b>x</b>", ("<script>alert(1)</script>",), tree=Fact("<i>", "<u>", "failed", "<s>"))
    text = answer_page(answer, "<server>")
    assert not re.search(r"<(b|i|u|s|script|server)>", text)
    assert text.count("&lt;script&gt;") == 1


def test_the_strict_validator_of_cyclonedx_takes_the_bill(subject: AdapterRecords) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = bill_of_materials(subject, ["torch==2.13.0+cpu", "numpy==2.4.6"])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_bill_names_the_model_its_backbone_its_data_and_its_statements(subject: AdapterRecords) -> None:
    found = json.loads(bill_of_materials(subject, ["torch==2.13.0+cpu"]))
    model = found["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "elp.plant-a.asr", "2")
    assert model["hashes"][0]["content"] == subject.adapter.bundle.removeprefix("sha256:")
    assert {one["name"] for one in model["components"]} == {"adapter_model.safetensors", "lineage.json"}
    assert model["externalReferences"][0]["hashes"][0]["content"] == subject.stored[0].digest
    by_type = {one["type"]: one for one in found["components"]}
    assert by_type["machine-learning-model"]["hashes"][0]["content"] == FINGERPRINT.removeprefix("sha256:")
    assert by_type["data"]["hashes"][0] == {"alg": "MD5", "content": "d" * 32}
    assert by_type["library"]["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    references = {one["bom-ref"] for one in found["components"]}
    assert {one["ref"] for one in model["modelCard"]["modelParameters"]["datasets"]} <= references
    assert set(found["dependencies"][0]["dependsOn"]) == references


def test_the_bill_carries_what_the_gate_measured(subject: AdapterRecords) -> None:
    found = json.loads(bill_of_materials(replace(subject, verdict=verdict())))
    metrics = found["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert [metric["value"] for metric in metrics] == ["0.080000", "-0.010000", "passed"]
    assert metrics[1]["confidenceInterval"] == {"lowerBound": "-0.020000", "upperBound": "+0.005000"}


@pytest.mark.parametrize(
    ("licence", "use", "key"),
    [("CC-BY-NC-4.0", "forbidden", "id"), ("LicenseRef-Acme", "allowed", "name"), ("", "", "name")],
)
def test_tree_and_bill_carry_the_licence_of_the_backbone(
    licence: str, use: str, key: str, subject: AdapterRecords, index: Connection
) -> None:
    lineage = subject.lineage
    assert lineage
    annotations = {"licence": licence, "pretraining": "speech (1 h)", "source": "hub x/y at 1"} if licence else {}
    annotations |= {"commercial": use} if use else {}
    materials = [replace(m, annotations=annotations) if m.name == "backbone" else m for m in lineage.materials]
    named = replace(subject, lineage=replace(lineage, materials=tuple(materials)))
    found = json.loads(bill_of_materials(named))["components"][0]
    assert found["licenses"] == [{"license": {key: licence or "unknown"}}]
    datasets = found["modelCard"]["modelParameters"].get("datasets", [])
    assert [one["name"] for one in datasets] == (["speech (1 h)"] if licence else [])
    properties = {one["name"]: one["value"] for one in found["properties"]}
    assert properties.get("elp:source") == annotations.get("source")
    facts = {fact.name: fact.value for fact in adapter_tree(index, named).walk()}
    (note,) = [fact.note for fact in adapter_tree(index, named).walk() if fact.name == "licence"]
    assert note == f"commercial use {use or 'unknown'}"
    assert facts["licence"] == (licence or "unknown")
    assert facts.get("pre-training data") == annotations.get("pretraining")


def test_an_adapter_that_this_one_started_from_and_that_labelled_its_clips_is_one_component(
    subject: AdapterRecords,
) -> None:
    assert subject.lineage
    roles = [{"slot": "plant-a/asr", "version": 1, "role": role} for role in ("init", "teacher")]
    learned = [Material(f"adapter {n}", {"elpBundle": "7" * 64}, annotations=role) for n, role in enumerate(roles)]
    lineage = replace(subject.lineage, materials=(*subject.lineage.materials, *learned))
    found = json.loads(bill_of_materials(replace(subject, lineage=lineage)))
    (parent,) = (one for one in found["components"] if one["bom-ref"] == f"adapter:sha256:{'7' * 64}")
    assert {"name": "elp:role", "value": "init, teacher"} in parent["properties"]


def test_without_a_lineage_there_is_no_bill(subject: AdapterRecords) -> None:
    with pytest.raises(RegistryError, match="has no lineage statement to make a bill of materials from"):
        bill_of_materials(replace(subject, lineage=None))


def test_the_same_bundle_has_the_same_serial_number(subject: AdapterRecords) -> None:
    assert (
        json.loads(bill_of_materials(subject))["serialNumber"] == json.loads(bill_of_materials(subject))["serialNumber"]
    )


def test_the_template_is_packaged() -> None:
    from importlib.resources import files

    assert files("pipelines.audit").joinpath("html_page.html").is_file()


def test_both_languages_have_the_same_numbers_and_no_english_is_unmarked(index: Connection, ground: Ground) -> None:
    champion = find_records(ground.records, ASR, None)
    assert champion.lineage
    lineage = replace(champion.lineage, given={**champion.lineage.given, "key": "k2"})
    judged = replace(champion, lineage=lineage, verdict=verdict())
    failed = Fact(
        phrase("bundle"), "sha256:aa", "failed", "cannot open the file", (Fact("entry", "x", "not verified"),)
    )
    answers = [*_answers(index, ground), tree_answer(adapter_tree(index, judged, {"bundle": (failed,)}), verified=True)]
    texts = [answer_pages(answer, "http://server", "a.html") for answer in answers]
    assert '<span lang="en">promoted</span>' in texts[0]["a.ja.html"]
    assert any("<td>はい</td>" in text["a.ja.html"] for text in texts)
    # events and reasons in the tree
    why = DETAILS.reasons[0]
    assert re.search(r'<span lang="en">\d+ promoted</span>', texts[-1]["a.ja.html"])
    assert f'<code><span lang="en">{why}</span></code>' in texts[-1]["a.ja.html"]
    assert f"<code>{why}</code>" in texts[-1]["a.html"]
    for found in texts:
        pages = {name: read_html(page) for name, page in found.items()}
        compare_pages(pages["a.html"], pages["a.ja.html"])
        assert [link.attributes["href"] for link in pages["a.ja.html"].all("a")] == ["a.html"]
