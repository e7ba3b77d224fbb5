"""What a training takes from the language of its dataset version, and the units of a champion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from elp_core.backbones import Backbone
from elp_core.languages import LanguageConfig, NormaliserId, Units
from elp_core.task_specs import RecognitionOptions
from elp_core.tasks import SpeechRecognition
from elp_core.types import Clip
from pipelines.datasets.dataset_version import TranscriptLanguage
from pipelines.local.settings import Settings
from pipelines.registry.backbone_licence import BackbonePolicy
from pipelines.registry.lineage import Lineage, TrainedClips, TrainedLanguage, ids_digest
from pipelines.registry.slot import Slot
from pipelines.training import spoken
from pipelines.training.inputs import TrainingInputs
from pipelines.training.spoken import find_grown_from, written_units

SLOT = Slot("kojo", "asr")


def test_a_head_of_english_letters_has_units_that_can_grow() -> None:
    assert written_units(SpeechRecognition().to_json()) == Units()
    german = Units.of_letters(" aäß")
    task = SpeechRecognition(german, RecognitionOptions(language=LanguageConfig("de")))
    assert written_units(task.to_json()) == german
    assert written_units({"name": "ser", "classes": ["calm", "cross"]}) is None


def test_a_bundle_names_the_normaliser_of_its_transcripts_even_if_the_packages_changed() -> None:
    older = NormaliserId("ja/1", "sha256:" + "1" * 64)
    data: Any = SimpleNamespace(train=[Clip("a" * 64, b"", 1.0, "train", text="今日は")])
    inputs = TrainingInputs(
        slot=SLOT,
        repository="",
        data=data,
        settings=Settings().for_slot(SLOT),
        backbone=Backbone.from_pretrained("elp:tiny"),
        backbones=BackbonePolicy(),
        ids="",
        key="",
        known_keys=(),
        config={},
        options=RecognitionOptions(language=LanguageConfig("ja")),
        language=TrainedLanguage("ja", older),
    )
    assert inputs.new_model().task.to_json()["normaliser"] == {"name": older.name, "digest": older.digest}


BEFORE = (Clip("a" * 64, b"", 1.0, "train", text="open"), Clip("b" * 64, b"", 1.0, "train", text="close"))
LATER = Clip("c" * 64, b"", 1.0, "train", text="ouvert à 8")


@pytest.mark.parametrize(
    ("present", "options", "grows"),
    [
        ((*BEFORE, LATER), RecognitionOptions(), True),
        ((*BEFORE, LATER), RecognitionOptions(width=8), False),
        ((BEFORE[0], LATER), RecognitionOptions(), False),
        ((BEFORE[0], replace(BEFORE[1], text="closed"), LATER), RecognitionOptions(), False),
        ((BEFORE[0], replace(BEFORE[1], split="validation"), LATER), RecognitionOptions(), False),
    ],
    ids=["all there", "another width", "one withdrawn", "one corrected", "one judges now"],
)
def test_a_head_grows_only_from_what_is_still_in_the_slot(
    monkeypatch: pytest.MonkeyPatch, present: tuple[Clip, ...], options: RecognitionOptions, grows: bool
) -> None:
    clips = TrainedClips(clips=len(BEFORE), ids=ids_digest(clip.id for clip in BEFORE))
    manifest = SimpleNamespace(task=SpeechRecognition().to_json(), lineage=Lineage(training=clips).to_json())
    champion = SimpleNamespace(fingerprint="f", bundle_digest="sha256:" + "1" * 64)
    monkeypatch.setattr(spoken.model_registry, "find_champion", lambda *_: champion)
    monkeypatch.setattr(spoken, "download_bundle", lambda *_: Path("bundle"))
    monkeypatch.setattr("elp_core.bundle.verify_bundle", lambda _: manifest)
    monkeypatch.setattr("pipelines.datasets.versions.load_split", lambda *_: list(BEFORE))
    units = Units().extend(["à 8"])
    dataset = SimpleNamespace(units=units.to_json(), language=TranscriptLanguage(), tag="v2")
    train, validation = ([one for one in present if one.split == split] for split in ("train", "validation"))
    data = cast(Any, SimpleNamespace(dataset=dataset, train=train, validation=validation))
    backbone = cast(Any, SimpleNamespace(fingerprint="f"))
    found = find_grown_from(cast(Any, None), "", SLOT, data, options, backbone, Path())
    assert (found.added if found else None) == (("8", "à") if grows else None)
