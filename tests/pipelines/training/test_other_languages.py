"""A slot in Japanese and one in German, from recordings to a champion: what decides, and what people are shown."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from elp_core.audio import load
from elp_core.backbones import Backbone
from elp_core.bundle import load_bundle, verify_bundle
from elp_core.inference import predict
from pipelines.datasets.dataset_version import DatasetVersion
from pipelines.datasets.ingest import add_delivery
from pipelines.gating.evidence import read_evidence
from pipelines.gating.gate import GateOutcome, gate_version
from pipelines.local.initialise import init_workspace
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.client import model_registry, server_api
from pipelines.registry.client.bundle_models import download_bundle
from pipelines.registry.client.connection import connect
from pipelines.registry.policies import policy_digest
from pipelines.registry.signing.envelope import read_envelope
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, parse_statement
from pipelines.training.register import Registered
from pipelines.training.train import train_adapters
from tests.support.spoken_languages import GERMAN, GERMAN_LATER, JAPANESE, JAPANESE_LATER, spoken_delivery

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

SETTINGS = """
language: {code: ja, digits: spell}
defaults:
  asr:
    train: {epochs: 8, min_steps: 16, device: cpu}
    data: {min_snr_db: -30}
    gate: {limit: 1.5, margin: 0.9, resamples: 500, safety: {max_slowdown: null, interference_slots: 0}}
slots:
  werk/asr: {language: {code: de, digits: spell}}
  halle/asr: {language: {code: de, digits: spell, units: {kind: bpe, size: 60}}}
"""
JA, DE, SUBWORDS = Slot("kojo", "asr"), Slot("werk", "asr"), Slot("halle", "asr")


@dataclass
class Line:
    """A workspace and a server, and the steps from a delivery to a champion."""

    workspace: Workspace
    uri: str
    said: list[str] = field(default_factory=list)

    @property
    def cache(self) -> Path:
        return self.workspace.state / "cache"

    def train(self, slot: Slot, version: DatasetVersion) -> Registered:
        root, settings = str(self.workspace.root), self.workspace.settings
        options = {"mlflow_uri": self.uri, "cache": self.cache}
        return train_adapters(root, {slot: version.tag}, settings, log=self.said.append, **options)[slot]

    def judge(self, slot: Slot) -> GateOutcome:
        root, settings = str(self.workspace.root), self.workspace.settings
        return gate_version(root, slot, settings, mlflow_uri=self.uri, cache=self.cache, log=self.said.append)

    def promote(self, slot: Slot) -> None:
        policy = policy_digest(self.workspace.settings.for_slot(slot).gate)
        server_api.promote_version(slot, policy=policy, mlflow_uri=self.uri, reason="it passed", log=self.said.append)

    def page(self, slot: Slot) -> str:
        with urllib.request.urlopen(f"{self.uri}/elp/slots/{slot}") as answer:
            return str(answer.read().decode())

    def lineage(self, slot: Slot, version: int) -> LineageStatement:
        (row,) = server_api.list_statements(self.uri, model=slot.model_name, version=version, kind="lineage")
        statement = parse_statement(read_envelope(row.envelope).payload)
        assert isinstance(statement, LineageStatement)
        return statement


@pytest.fixture
def line(tmp_path: Path, mlflow_uri: str) -> Line:
    workspace = init_workspace(tmp_path / "workspace")
    (workspace.root / "elp.yaml").write_text(SETTINGS, encoding="utf-8")
    return Line(open_workspace(workspace.root), mlflow_uri)


def test_a_japanese_slot_is_judged_by_characters_and_grows_with_its_kanji(line: Line, tmp_path: Path) -> None:
    data = add_delivery(line.workspace, JA, spoken_delivery(tmp_path / "ja", "ja", JAPANESE, (140, 180)))
    assert data.language.code == "ja"
    assert data.units["kind"] == "characters"
    assert {"弁", "扉", "ポ", "三"} <= set(data.units["symbols"])
    first = line.train(JA, data)
    judged = line.judge(JA)
    assert (judged.verdict.metric, judged.verdict.outcome) == ("cer", "passed")
    assert judged.verdict.normaliser is not None
    assert judged.verdict.normaliser.name == "ja/1"
    assert judged.verdict.challenger < 0.9, "it learned something"
    evidence = read_evidence(judged.evidence)
    assert evidence.challenger.counted == "character"
    assert {"wer", "cer_reading"} <= evidence.context.challenger_also.keys()
    assert evidence.recompute() == judged.verdict
    report = (judged.evidence / "report.html").read_text(encoding="utf-8")
    for words in ("CER of the challenger", "WER of the challenger, reported only", "characters", "ja/1"):
        assert words in report
    line.promote(JA)
    page = line.page(JA)
    assert "CER" in page
    assert "ja/1" in page
    # the other rate is next to it, and named as one that decided nothing
    assert page.count("WER ") == page.count("reported only: CER (reading)") == 2
    assert "ja in 2" in page
    version = model_registry.get(connect(line.uri), JA, first.version)
    assert version.description.startswith("Passed the gate: CER ")
    assert "ja/1" in version.description
    assert "| WER, reported only |" in version.description
    assert f"| units of the head | {len(data.units['symbols'])} characters |" in version.description

    later = add_delivery(line.workspace, JA, spoken_delivery(tmp_path / "later", "ja", JAPANESE_LATER, (150,)))
    assert later.deliveries[-1].new_units == ("窓",)
    assert later.units["symbols"] == [*data.units["symbols"], "窓"]
    second = line.train(JA, later)
    language = line.lineage(JA, second.version).language
    assert (language.parent, language.added) == (first.bundle_digest, ("窓",))
    bundle = download_bundle(connect(line.uri), model_registry.get(connect(line.uri), JA, second.version), line.cache)
    assert verify_bundle(bundle).task["units"]["symbols"] == later.units["symbols"]
    assert "窓" in (bundle / "README.md").read_text(encoding="utf-8")
    again = line.judge(JA)
    assert (again.champion, again.verdict.metric) == (first.version, "cer")
    line.promote(JA)
    # the champion has all the units now: the same data is not trained again without a parent
    third = line.train(JA, later)
    assert (third.version, third.key, third.reused) == (second.version, second.key, True)


def test_a_slot_with_learned_subwords_grows_from_its_champion_and_predicts(line: Line, tmp_path: Path) -> None:
    data = add_delivery(line.workspace, SUBWORDS, spoken_delivery(tmp_path / "de", "de", GERMAN, (140, 180)))
    assert data.units["kind"] == "bpe"
    assert {"▁aus", "raße", "tür"} <= set(data.units["symbols"])
    first = line.train(SUBWORDS, data)
    judged = line.judge(SUBWORDS)
    assert (judged.verdict.metric, judged.verdict.outcome) == ("wer", "passed")
    assert judged.verdict.challenger < 0.5, "it learned something"
    line.promote(SUBWORDS)

    later = add_delivery(line.workspace, SUBWORDS, spoken_delivery(tmp_path / "later", "de", GERMAN_LATER, (150,)))
    assert later.deliveries[-1].new_units == ("q", "▁q", "x", "▁x")
    second = line.train(SUBWORDS, later)
    language = line.lineage(SUBWORDS, second.version).language
    assert (language.kind, language.parent, language.added) == ("bpe", first.bundle_digest, ("q", "▁q", "x", "▁x"))
    again = line.judge(SUBWORDS)
    assert (again.champion, again.verdict.outcome) == (first.version, "passed")
    line.promote(SUBWORDS)
    size = len(later.units["symbols"])
    assert f"de in {size} subwords (bpe)" in line.page(SUBWORDS)
    version = model_registry.get(connect(line.uri), SUBWORDS, second.version)
    assert f"| units of the head | {size} subwords (bpe) |" in version.description

    # the bundle has all that a machine without the workspace needs
    folder = download_bundle(connect(line.uri), version, line.cache)
    model = load_bundle(folder, Backbone.from_pretrained("elp:tiny"))
    assert f"{size} subwords (bpe)" in (folder / "README.md").read_text(encoding="utf-8")
    said = predict(model, [load(tmp_path / "de" / "audio" / "m4-0-140.wav")])
    assert set(said[0].split()) & {"tür", "öffnen"}


def test_a_german_slot_is_judged_by_words(line: Line, tmp_path: Path) -> None:
    data = add_delivery(line.workspace, DE, spoken_delivery(tmp_path / "de", "de", GERMAN, (140, 180)))
    assert "".join(data.units["symbols"]) == " abcdefghijklmnopqrstuvwxyzäöüß"
    line.train(DE, data)
    judged = line.judge(DE)
    assert (judged.verdict.metric, judged.verdict.outcome) == ("wer", "passed")
    texts = set(read_evidence(judged.evidence).challenger.references)
    assert {"tür öffnen", "straße frei", "drei bänder"} <= texts
    line.promote(DE)
    assert "de/1" in line.page(DE)
    assert json.loads(json.dumps(judged.verdict.to_json()))["normaliser"]["name"] == "de/1"
