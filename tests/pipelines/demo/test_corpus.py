from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile as sf

from elp_core.types import SAMPLE_RATE
from pipelines.demo.corpus import EMOTIONS, SITES, DeliveryPlan, Site, intents, speakers, write_delivery

PLAN = DeliveryPlan("small", per_speaker=2, splits=("validation", "test"))


def _rows(manifest: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in manifest.read_text().splitlines()]


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_no_speaker_is_in_two_splits(site: Site) -> None:
    split_of: dict[str, set[str]] = {}
    for speaker in speakers(site):
        split_of.setdefault(speaker.name, set()).add(speaker.split)
    assert len(split_of) == 32
    assert all(len(splits) == 1 for splits in split_of.values())


def test_the_sites_share_no_voice() -> None:
    voices = [{speaker.variant for speaker in speakers(site)} for site in SITES]
    assert not voices[0] & voices[1]


def test_the_voices_are_those_that_the_backbone_never_heard() -> None:
    import yaml

    params = yaml.safe_load((Path(__file__).parents[3] / "params.yaml").read_text())
    reserved = set(params["pretraining"]["corpus"]["reserved_variants"])
    assert {variant for site in SITES for variant in site.variants} <= reserved


def test_a_delivery_is_speech_with_a_manifest(tmp_path: Path) -> None:
    rows = _rows(write_delivery(SITES[0], PLAN, tmp_path / "delivery", seed=1))
    assert len(rows) == 2 * sum(s.split in PLAN.splits for s in speakers(SITES[0]))
    assert {row["condition"] for row in rows} == {"quiet", "machine-hall"}
    for row in rows:
        wave, rate = sf.read(tmp_path / "delivery" / str(row["audio_filepath"]))
        assert rate == SAMPLE_RATE
        assert 0.4 < len(wave) / rate < 4
        assert 0.5 < abs(wave).max() < 0.8


def test_a_delivery_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text("mine")
    assert write_delivery(SITES[0], PLAN, tmp_path, seed=1).read_text() == "mine"


def test_swapping_changes_every_transcript_and_no_audio(tmp_path: Path) -> None:
    true = _rows(write_delivery(SITES[1], PLAN, tmp_path / "true", seed=3))
    plan = DeliveryPlan("small", PLAN.per_speaker, PLAN.splits, swap=True)
    swapped = _rows(write_delivery(SITES[1], plan, tmp_path / "swapped", seed=3))
    assert all(a["text"] != b["text"] for a, b in zip(true, swapped, strict=True))
    assert [row["audio_filepath"] for row in true] == [row["audio_filepath"] for row in swapped]
    assert sorted(str(row["text"]) for row in true) == sorted(str(row["text"]) for row in swapped)


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_a_command_is_verb_object_number_and_each_pair_is_an_intent(site: Site) -> None:
    found = intents(site)
    assert len(found) == len(set(found)) == 36
    assert {tuple(name.split()) for name in found} == {(v, o) for v in site.phrases[0] for o in site.phrases[1]}


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_the_intents_are_dealt_out_and_are_what_is_said(site: Site, tmp_path: Path) -> None:
    plan = DeliveryPlan("commands", per_speaker=2, splits=("train", "test"), label="intent")
    rows = _rows(write_delivery(site, plan, tmp_path / "delivery", seed=1))
    assert all(str(row["text"]).startswith(f"{row['label']} ") for row in rows)
    assert {row["label"] for row in rows if row["split"] == "train"} == set(intents(site))
    assert all(row["synthetic"] for row in rows)


def test_emotions_are_heard_in_rate_level_and_pitch(tmp_path: Path) -> None:
    plan = DeliveryPlan("moods", per_speaker=4, splits=("test",), label="emotion")
    rows = _rows(write_delivery(SITES[0], plan, tmp_path / "delivery", seed=1))
    assert [row["label"] for row in rows[:4]] == [emotion.name for emotion in EMOTIONS]
    seconds, level = ({emotion.name: [] for emotion in EMOTIONS} for _ in range(2))
    for row in rows:
        wave, rate = sf.read(tmp_path / "delivery" / str(row["audio_filepath"]))
        seconds[str(row["label"])].append(len(wave) / rate)
        level[str(row["label"])].append(float(abs(wave).max()))
    mean = {name: sum(values) / len(values) for name, values in seconds.items()}
    assert mean["sad"] > 1.15 * mean["neutral"] > 1.15 * mean["angry"]
    assert max(level["sad"]) < 0.3 < min(level["neutral"]) < 0.8 < min(level["angry"])
