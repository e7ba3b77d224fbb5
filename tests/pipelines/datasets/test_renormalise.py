"""Transcripts under another rule than they were stored under: what changes, what stays, what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elp_core.languages import Language, LanguageConfig, NormaliserId, Units, codes, language
from elp_core.languages.renormalising import losses
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.golden_set import pin_golden
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.measuring import split_of
from pipelines.datasets.renormalise import plan_renormalise, renormalise
from pipelines.datasets.slot_language import pinned_units
from pipelines.datasets.slot_shards import quarantined_clips, slot_shards
from pipelines.datasets.subject import Subject
from pipelines.datasets.versions import dataset_versions, golden_ref, load_golden, load_split, version_at
from pipelines.errors import DataRefused, UsageError
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.deliveries import write_delivery

integration = pytest.mark.integration
ASR = Slot("plant-a", "asr")


def speaking(workspace: Workspace, spoken: Any) -> Workspace:
    values = {str(ASR): {"language": spoken, "data": {"max_quarantined": 0.5}}}
    return replace(workspace, settings=replace(workspace.settings, slots=values))


def texts(workspace: Workspace, version: str, cache: Path) -> dict[str, str]:
    found = load_split(str(workspace.root), version, ASR, None, cache)
    return {clip.path.removeprefix("audio/").removesuffix(".wav"): clip.text for clip in found}


def state(workspace: Workspace) -> tuple[str, str, str]:
    root = workspace.root
    return git.resolve(root), git.git(root, "tag"), git.git(root, "status", "--porcelain")


@integration
def test_a_slot_that_was_declared_english_becomes_french(workspace: Workspace, tmp_path: Path) -> None:
    spoken = {"anna_0": {"text": "Ouvre la porte"}, "bert_1": {"text": "l'eau"}, "carla_2": {"text": "Poisson"}}
    first = add_delivery(workspace, ASR, write_delivery(tmp_path / "in", **spoken))
    french = speaking(workspace, "fr")
    with pytest.raises(UsageError, match=r"never mixed: normalise the stored ones again with: elp data renormalise"):
        add_delivery(french, ASR, write_delivery(tmp_path / "more", seed=1))
    before = state(workspace)
    plan = plan_renormalise(french, ASR)
    assert (plan.stored, plan.clips, str(plan.before), plan.after.code) == (False, (), "English", "fr")
    assert state(workspace) == before
    done = renormalise(french, ASR)
    assert (done.stored, done.dataset.version, done.dataset.language.code) == (True, 2, "fr")
    assert done.dataset.language.normaliser == language("fr").normaliser_id()
    # the same words: the same shards, and the old version and its golden set stay as they were
    assert done.dataset.dvc_hash == first.dvc_hash
    assert texts(french, "v2", tmp_path / "cache") == texts(french, "v1", tmp_path / "cache")
    assert (done.golden, golden_ref(french, "latest", ASR).version) == (None, 1)
    assert Units.from_json(done.dataset.units).symbols[:2] == (" ", "'")
    assert "é" in done.dataset.units["symbols"]
    later = add_delivery(french, ASR, write_delivery(tmp_path / "more", seed=1, anna_0={"text": "fermé"}))
    assert (later.version, later.quarantined, later.units) == (3, 0, done.dataset.units)
    # the first delivery again is the same clips
    assert add_delivery(french, ASR, tmp_path / "in" / "manifest.jsonl").clips == later.clips


@integration
def test_nothing_is_made_if_nothing_changes(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(workspace, ASR, write_delivery(tmp_path / "in"))
    before = state(workspace)
    for spoken in ("en", {"code": "en", "digits": "keep"}, {"code": "en", "min_count": 1}):
        done = renormalise(speaking(workspace, spoken), ASR, golden=True, quarantine=True)
        assert (done.stored, done.clips, done.dataset.version) == (False, (), 1)
    assert state(workspace) == before


@integration
def test_digits_that_were_kept_are_spelled_or_go_to_quarantine(workspace: Workspace, tmp_path: Path) -> None:
    spoken = {"anna_0": {"text": "open 2 doors"}, "doris_0": {"text": "close 3 valves"}, "bert_0": {"text": "valve 2"}}
    keeping = speaking(workspace, {"code": "en", "digits": "keep"})
    first = add_delivery(keeping, ASR, write_delivery(tmp_path / "in", **spoken))
    assert "2" in first.units["symbols"]
    here, before = speaking(workspace, "en"), state(workspace)
    with pytest.raises(UsageError, match=r"3 clips of plant-a/asr would go to quarantine under English \(3 outside"):
        renormalise(here, ASR)
    assert state(workspace) == before
    spelling = speaking(workspace, {"code": "en", "digits": "spell"})
    done = renormalise(spelling, ASR, golden=True)
    assert {clip.path: clip.after for clip in done.clips} == {
        "audio/anna_0.wav": "open two doors",
        "audio/bert_0.wav": "valve two",
        "audio/doris_0.wav": "close three valves",
    }
    # the units are pinned anew: no digit is left, and the default ones are none of the record's
    assert (done.dataset.units, done.units) == ({}, (29, 28))
    assert texts(here, "v1", tmp_path / "cache")["anna_0"] == "open 2 doors"
    golden = load_golden(str(workspace.root), "latest", ASR, tmp_path / "cache")
    assert done.golden is not None
    assert (golden.tag, done.golden_clips) == (done.golden.tag, 1)
    assert "close three valves" in {clip.text for clip in golden.clips}
    # the ids are the same ones, the words are not: both sets are told apart, and pinned again it is the same one
    old = golden_ref(here, "v1", ASR)
    assert (done.golden.digest, done.golden.words != old.words) == (old.digest, True)
    assert pin_golden(spelling, ASR, "latest").version == done.golden.version


@integration
def test_clips_that_the_rule_refuses_are_kept_in_quarantine_and_found_by_an_erasure(
    workspace: Workspace, tmp_path: Path
) -> None:
    keeping = speaking(workspace, {"code": "en", "digits": "keep"})
    spoken = {"anna_0": {"text": "room 101"}, "doris_1": {"text": "7 pumps"}, "bert_0": {"bytes": b"broken"}}
    add_delivery(keeping, ASR, write_delivery(tmp_path / "in", **spoken))
    here = speaking(workspace, "en")
    stored = {clip.path: clip for clip in load_split(str(workspace.root), "v1", ASR, None, tmp_path / "cache")}
    plan = plan_renormalise(here, ASR)
    assert [(one.path, one.fault.reason if one.fault else "") for one in plan.quarantined] == [
        ("audio/anna_0.wav", "outside_alphabet"),
        ("audio/doris_1.wav", "outside_alphabet"),
    ]
    done = renormalise(here, ASR, quarantine=True)
    assert (done.dataset.clips, done.dataset.quarantine) == (9, {"corrupt": 1, "outside_alphabet": 2})
    rows = [row for path in slot_shards(here, ASR, "quarantine") for row in pq.read_table(path).to_pylist()]
    kept = {row["path"]: row for row in rows}
    clip = stored["audio/anna_0.wav"]
    assert (kept[clip.path]["bytes"], kept[clip.path]["text"], kept[clip.path]["sha256"]) == (
        clip.audio,
        "room 101",
        clip.id,
    )
    # the golden set stays whole: it changes on request only
    assert golden_ref(here, "latest", ASR).clips == 3
    assert drop_clips(here, ASR, Subject(clip=stored["audio/doris_1.wav"].id[:12])).quarantined == 1
    assert drop_clips(here, ASR, Subject("anna")).dataset.quarantine == {"corrupt": 1}
    assert quarantined_clips(here, ASR)[0].path == "audio/bert_0.wav"


@integration
def test_a_golden_set_and_a_slot_are_never_left_empty(workspace: Workspace, tmp_path: Path) -> None:
    keeping = speaking(workspace, {"code": "en", "digits": "keep"})
    said = {f"doris_{take}": {"text": f"pump {take}"} for take in range(3)}
    add_delivery(keeping, ASR, write_delivery(tmp_path / "in", **said))
    before, here = state(workspace), speaking(workspace, "en")
    with pytest.raises(DataRefused, match=r"no clip of golden/plant-a/asr/v1 would be left; add test clips first"):
        renormalise(here, ASR, golden=True, quarantine=True)
    assert state(workspace) == before
    assert renormalise(here, ASR, quarantine=True).dataset.clips == 9


@integration
def test_an_updated_normaliser_is_taken_over(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = speaking(workspace, "ja")
    said = {f"{who}_{take}": {"text": "弁を開けて"} for who in ("anna", "bert", "carla", "doris") for take in range(3)}
    first = add_delivery(here, ASR, write_delivery(tmp_path / "in", **said))
    updated = NormaliserId("ja/1", "sha256:" + "9" * 64)
    monkeypatch.setattr(Language, "normaliser_id", lambda _: updated)
    with pytest.raises(
        UsageError, match=r"another release of .*neologdn.* makes them ja, normaliser ja/1 .*renormalise"
    ):
        add_delivery(here, ASR, write_delivery(tmp_path / "more", seed=1, **said))
    done = renormalise(here, ASR, golden=True)
    assert (done.dataset.language.normaliser, done.dataset.units, done.clips) == (updated, first.units, ())
    assert done.golden is not None
    assert (done.golden.language.normaliser, done.golden.version) == (updated, 2)
    assert add_delivery(here, ASR, write_delivery(tmp_path / "more", seed=1, **said)).version == 3
    assert [one.importer for one in version_at(here, "latest", ASR).deliveries] == ["nemo", "renormalise", "nemo"]


@integration
def test_what_the_earlier_rule_removed_is_not_made_up(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(speaking(workspace, "de"), ASR, write_delivery(tmp_path / "in", anna_0={"text": "die geht's"}))
    before = state(workspace)
    with pytest.raises(
        UsageError, match=r"German, without apostrophes, which were left out; French needs that in 12 of"
    ):
        renormalise(speaking(workspace, "fr"), ASR)
    with pytest.raises(
        UsageError, match=r"Turkish needs that in .* take the original deliveries into a new slot, or set"
    ):
        plan_renormalise(speaking(workspace, "tr"), ASR)
    assert state(workspace) == before
    assert renormalise(speaking(workspace, "es"), ASR).dataset.language.code == "es"
    asv = Slot("plant-a", "asv")
    add_delivery(workspace, asv, write_delivery(tmp_path / "asv", seed=3))
    with pytest.raises(UsageError, match=r"plant-a/asv have no transcripts; only those of asr are normalised"):
        renormalise(workspace, asv)


@integration
def test_other_units_are_pinned_anew_and_a_repeat_makes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(speaking(workspace, "de"), ASR, write_delivery(tmp_path / "in", anna_0={"text": "Tür öffnen"}))
    pieces = speaking(workspace, {"code": "de", "units": {"kind": "bpe", "size": 30}})
    with pytest.raises(UsageError, match=r"--dry-run, or set the units of the language back in elp\.yaml"):
        add_delivery(pieces, ASR, write_delivery(tmp_path / "more", seed=1))
    done = renormalise(pieces, ASR)
    units = pinned_units(done.dataset)
    assert units is not None
    assert (units.kind, units.unknown("tür öffnen")) == ("bpe", set())
    assert renormalise(pieces, ASR).stored is False
    assert len(dataset_versions(workspace, ASR)) == 2


LETTERS = st.text(st.sampled_from(" '’abcdeiIıİsSßẞäöüéЁёеЕght-.,?!…«»\"ＡＢab"), max_size=20)


@given(LETTERS, st.sampled_from(codes()), st.sampled_from(codes()))
def test_an_allowed_change_gives_what_the_original_would_give(text: str, one: str, other: str) -> None:
    before, after = language(one), language(other)
    if before.step or after.step:
        return
    stored = before.normalise(text)
    wanted = after.normalise(text)
    if any(re.search(loss.pattern, stored) for loss in losses(before, after)):
        return
    # what neither language would take in is no matter
    if not before.foreign(stored) and not after.foreign(wanted):
        assert after.normalise(stored) == wanted


def test_the_languages_lose_nothing_to_themselves() -> None:
    for code in codes():
        assert losses(language(code), language(code)) == []
    assert losses(LanguageConfig("eo", letters="auto").resolve(), language("uk")) == []


@integration
def test_a_drop_keeps_out_what_renormalise_put_into_quarantine(workspace: Workspace, tmp_path: Path) -> None:
    source = write_delivery(tmp_path / "in", anna_0={"text": "open 2 doors"})
    keeping = speaking(workspace, {"code": "en", "digits": "keep"})
    add_delivery(keeping, ASR, source)
    here = speaking(workspace, "en")
    (held,) = renormalise(here, ASR, quarantine=True).quarantined
    done = drop_clips(here, ASR, Subject("anna"))
    assert (done.clips, done.quarantined) == (2, 1)
    assert held.id in done.dataset.withdrawn
    renormalise(keeping, ASR)
    again = add_delivery(keeping, ASR, write_delivery(tmp_path / "in", each=4, anna_0={"text": "open 2 doors"}))
    assert held.id not in {clip.id for clip in load_split(str(workspace.root), again.tag, ASR, None, tmp_path / "c")}


@integration
def test_a_speaker_that_only_the_golden_set_has_stays_out_of_training(workspace: Workspace, tmp_path: Path) -> None:
    keeping, here = (speaking(workspace, {"code": "en", "digits": digits}) for digits in ("keep", "quarantine"))
    carla: dict[str, Any] = {f"carla_{take}": {"split": "test"} for take in range(3)}
    doris = {f"doris_{take}": {"text": "open 2 doors"} for take in range(3)}
    add_delivery(keeping, ASR, write_delivery(tmp_path / "in", **carla, **doris))
    assert len(renormalise(here, ASR, quarantine=True).quarantined) == 3
    assert split_of("doris", 0.1, 0.1) == "train"
    unnamed: dict[str, Any] = {f"doris_{take}": {"split": ""} for take in range(3)}
    made = add_delivery(here, ASR, write_delivery(tmp_path / "more", seed=3, **carla, **unnamed))
    clips = load_split(str(workspace.root), made.tag, ASR, None, tmp_path / "cache")
    assert {clip.split for clip in clips if clip.speaker == "doris"} == {"test"}
