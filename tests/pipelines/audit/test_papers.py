"""The answers as papers: the HTML page and the bill of materials."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from pipelines.audit.adapter_records import Dossier, dossier, tree
from pipelines.audit.bill_of_materials import bill
from pipelines.audit.champion_periods import champions_at, on_backbone, read_moment
from pipelines.audit.erasure import plan
from pipelines.audit.facts import Fact
from pipelines.audit.html_page import render
from pipelines.audit.learned import learned
from pipelines.audit.tables import Sheet, of_backbone, of_champions, of_learned, of_plan, of_tree
from pipelines.datasets.subject import Subject
from pipelines.errors import RegistryError
from tests.support.audited import ASR, Ground
from tests.support.proof import FINGERPRINT, verdict

pytestmark = pytest.mark.integration


@pytest.fixture
def subject(index: Connection, ground: Ground) -> Dossier:
    return dossier(index, ground.records, ASR, 2)


def _sheets(index: Connection, ground: Ground) -> list[Sheet]:
    return [
        of_champions(champions_at(index, read_moment("2026-01-04"))),
        of_backbone(on_backbone(index, FINGERPRINT)),
        of_learned(learned(index, Subject(speaker="ann"))),
        of_plan(plan(index, Subject(speaker="ann"))),
        of_tree(tree(index, dossier(index, ground.records, ASR, None)), verified=False),
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


def test_every_answer_is_a_page_that_asks_for_nothing(index: Connection, ground: Ground) -> None:
    for sheet in _sheets(index, ground):
        text = render(sheet, "http://127.0.0.1:5000")
        page = _Page(text)
        assert (page.open, page.addresses) == ([], []), sheet.title
        assert "<script" not in text
        assert not re.search(r"url\(|@import", text)
        assert "default-src 'none'" in text
        assert "prefers-color-scheme: dark" in text


def test_what_a_delivery_wrote_cannot_become_markup() -> None:
    sheet = Sheet("<b>x</b>", ("<script>alert(1)</script>",), tree=Fact("<i>", "<u>", "mismatch", "<s>"))
    text = render(sheet, "<server>")
    assert not re.search(r"<(b|i|u|s|script|server)>", text)
    assert text.count("&lt;script&gt;") == 1


def test_the_tree_goes_from_the_champion_to_clips_and_backbone(index: Connection, ground: Ground) -> None:
    found = tree(index, dossier(index, ground.records, ASR, None))
    facts = {fact.name: fact for fact in found.walk()}
    assert (found.value, facts["status"].value) == ("plant-a/asr v2", "champion")
    assert facts["dataset"].value == "data/plant-a/asr/v2"
    assert len([fact for fact in found.walk() if fact.name == "shard"]) == 2
    assert re.fullmatch("[0-9a-f]{64}", next(fact.value for fact in found.walk() if fact.name == "clip"))
    assert facts["fingerprint"].value == FINGERPRINT


def test_a_version_that_the_ledger_does_not_know_is_told(index: Connection, ground: Ground) -> None:
    with pytest.raises(
        RegistryError, match="plant-a/asr v9 is not in the ledger of memory; what there is: elp versions"
    ):
        dossier(index, ground.records, ASR, 9)


def test_the_strict_validator_of_cyclonedx_takes_the_bill(subject: Dossier) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = bill(subject, ["torch==2.13.0+cpu", "numpy==2.4.6"])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_bill_names_the_model_its_backbone_its_data_and_its_statements(subject: Dossier) -> None:
    found = json.loads(bill(subject, ["torch==2.13.0+cpu"]))
    model = found["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "elp.plant-a.asr", "2")
    assert model["hashes"][0]["content"] == subject.bundle.removeprefix("sha256:")
    assert {one["name"] for one in model["components"]} == {"adapter_model.safetensors", "lineage.json"}
    assert model["externalReferences"][0]["hashes"][0]["content"] == subject.stored[0].digest
    by_type = {one["type"]: one for one in found["components"]}
    assert by_type["machine-learning-model"]["hashes"][0]["content"] == FINGERPRINT.removeprefix("sha256:")
    assert by_type["data"]["hashes"][0] == {"alg": "MD5", "content": "d" * 32}
    assert by_type["library"]["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    references = {one["bom-ref"] for one in found["components"]}
    assert {one["ref"] for one in model["modelCard"]["modelParameters"]["datasets"]} <= references
    assert set(found["dependencies"][0]["dependsOn"]) == references


def test_the_bill_carries_what_the_gate_measured(subject: Dossier) -> None:
    from dataclasses import replace

    found = json.loads(bill(replace(subject, verdict=verdict())))
    metrics = found["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert [metric["value"] for metric in metrics] == ["0.080000", "-0.010000", "passed"]
    assert metrics[1]["confidenceInterval"] == {"lowerBound": "-0.020000", "upperBound": "+0.005000"}


def test_without_a_lineage_there_is_no_bill(subject: Dossier) -> None:
    from dataclasses import replace

    with pytest.raises(RegistryError, match="has no lineage statement to make a bill of materials from"):
        bill(replace(subject, lineage=None))


def test_the_same_bundle_has_the_same_serial_number(subject: Dossier) -> None:
    assert json.loads(bill(subject))["serialNumber"] == json.loads(bill(subject))["serialNumber"]


def test_the_template_is_packaged(tmp_path: Path) -> None:
    from importlib.resources import files

    assert files("pipelines.audit").joinpath("html_page.html").is_file()
