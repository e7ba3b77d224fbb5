"""What is against learning from an adapter: data that judges the new training, and what was dropped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from elp_core.types import Clip
from pipelines.registry.lineage import LearnedFrom, TrainedLanguage, ids_digest
from pipelines.registry.registered_adapter import RegisteredAdapter
from pipelines.registry.slot import Slot
from pipelines.training import inputs
from pipelines.training.parent_data import LearningData, clip_facts, parent_obstacle

SLOT = Slot("plant-a", "asr")
TRAIN, JUDGE = (
    Clip(digit * 64, b"", 1.0, split, text="open") for digit, split in (("a", "train"), ("b", "validation"))
)
CLIPS = [TRAIN, JUDGE]
PARENT = RegisteredAdapter(
    str(SLOT), 4, "b4", "", "", "s", dataset="data/plant-a/asr/v1", clips_digest=ids_digest(one.id for one in CLIPS)
)


def _place(validation: str, golden: str = "") -> LearningData:
    place = LearningData(
        "", Path(), SLOT, clip_facts(SLOT, CLIPS), frozenset({golden}), validation=frozenset({validation})
    )
    place.read[str(SLOT), PARENT.dataset] = CLIPS
    return place


def test_a_parent_that_was_fitted_to_a_validation_clip_is_refused() -> None:
    assert parent_obstacle(_place(JUDGE.id), PARENT, {}) == ""
    found = parent_obstacle(_place(TRAIN.id), PARENT, {})
    assert found == "1 clip of its training split are in the validation split of plant-a/asr"
    child = replace(PARENT, version=5, bundle="b5", learned=(LearnedFrom("b4", str(SLOT), 4, "init"),))
    other = replace(PARENT, dataset="data/plant-a/asr/v0")
    place = _place(TRAIN.id)
    place.read[str(SLOT), PARENT.dataset] = [replace(TRAIN, split="validation"), JUDGE]
    place.read[str(SLOT), other.dataset] = CLIPS
    assert "it learned from plant-a/asr v4" in parent_obstacle(place, child, {"b4": other})


@pytest.mark.parametrize(("dropped", "kept"), [(False, ["fresh", "from b4"]), (True, ["fresh"])])
def test_a_version_with_rows_from_what_was_dropped_is_not_the_same_training(
    monkeypatch: pytest.MonkeyPatch, dropped: bool, kept: list[str]
) -> None:
    other = Slot("plant-b", "asr")
    near = replace(PARENT, slot=str(other), version=1, bundle="near", dataset="data/plant-b/asr/v1")
    v4 = replace(PARENT, learned=(LearnedFrom("near", str(other), 1, "init"),))
    v5 = replace(PARENT, version=5, bundle="b5", learned=(LearnedFrom("b4", str(SLOT), 4, "units"),))
    v6 = replace(PARENT, version=6, bundle="b6")
    place = _place(JUDGE.id)
    place.read[str(other), near.dataset] = CLIPS
    place.read[str(other), "latest"] = [JUDGE] if dropped else CLIPS
    versions = [("other data", "b4"), ("from b4", "b5"), ("fresh", "b6")]
    listed = [SimpleNamespace(key=key, bundle_digest=bundle) for key, bundle in versions]
    monkeypatch.setattr(inputs.model_registry, "list_versions", lambda *_: listed)
    monkeypatch.setattr(inputs.server_api, "registered_records", lambda _: [near, v4, v5, v6])
    keys: Any = SimpleNamespace(slot=SLOT, of=lambda one: f"from {one.parent}" if one.parent else "fresh")
    client = cast(Any, SimpleNamespace(tracking_uri=""))
    found = inputs._former_keys(client, keys, TrainedLanguage("ja", units="u"), lambda: place)
    assert found == kept
