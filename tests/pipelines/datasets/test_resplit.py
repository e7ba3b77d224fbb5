"""Dividing a slot's speakers again, and what a slot that cannot be trained says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from elp_core.types import Clip
from pipelines.cli.data_verbs import data
from pipelines.datasets.corrections import stored_clips
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.resplit import resplit_slot
from pipelines.datasets.slot_shards import slot_shards
from pipelines.datasets.versions import load_golden, load_training_data
from pipelines.errors import DataRefused, NotTrainable, UsageError
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from pipelines.training.inputs import gather_inputs
from tests.support.clips import voice, wav
from tests.support.deliveries import WORDS, write_manifest

pytestmark = pytest.mark.integration
ASR, ASV = Slot("plant-a", "asr"), Slot("plant-a", "asv")


def recordings(folder: Path, speakers: Mapping[str, str], each: int = 2, seed: int = 0) -> Path:
    """A manifest of `each` clips of every speaker, with the speaker's split where it is not empty."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for place, (speaker, split) in enumerate(speakers.items()):
        for take in range(each):
            name = f"{speaker or place}-{seed}-{take}.wav"
            (folder / name).write_bytes(wav(voice(0.5, 200 + 30 * place + 7 * take, 1000 * seed + 10 * place + take)))
            row = {"audio_filepath": name, "text": WORDS[take % 3], "speaker": speaker}
            rows.append(row | ({"split": split} if split else {}))
    return write_manifest(folder, rows)


def splits_of(workspace: Workspace, slot: Slot) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for clip in stored_clips(slot_shards(workspace, slot, "shards")).values():
        found.setdefault(clip.speaker, set()).add(clip.split)
    return found


def with_data(workspace: Workspace, slot: Slot, **policy: object) -> Workspace:
    return replace(workspace, settings=replace(workspace.settings, slots={str(slot): {"data": policy}}))


UNNAMED = dict.fromkeys(("ann", "ben", "cat", "dan", "eve", "fay"), "")


def test_a_small_delivery_gets_every_split_and_later_ones_keep_them(workspace: Workspace, tmp_path: Path) -> None:
    made = add_delivery(workspace, ASR, recordings(tmp_path / "one", UNNAMED))
    assert made.splits == {"test": 4, "train": 6, "validation": 2}
    assert made.deliveries[-1].filled.keys() <= {"test", "validation"}
    assert made.golden
    first = splits_of(workspace, ASR)
    add_delivery(workspace, ASR, recordings(tmp_path / "two", UNNAMED, seed=1))
    again = add_delivery(workspace, ASR, recordings(tmp_path / "three", dict(reversed([*UNNAMED.items()])), seed=2))
    assert splits_of(workspace, ASR) == first
    assert again.version <= 3
    inputs = load_training_data(str(workspace.root), "latest", ASR, tmp_path / "cache")
    assert inputs.train
    assert inputs.validation


def test_a_delivery_again_with_more_clips_is_no_conflict(workspace: Workspace, tmp_path: Path) -> None:
    nameless = dict.fromkeys(("",), "")
    first = add_delivery(workspace, ASR, recordings(tmp_path / "one", nameless, each=4))
    assert min(first.splits.values()) >= 1
    more = add_delivery(workspace, ASR, recordings(tmp_path / "one", nameless, each=6))
    assert (more.clips, more.deliveries[-1].repeats) == (6, 4)


def test_one_speaker_is_taken_in_with_a_sentence_and_divided_after_the_setting(
    workspace: Workspace, tmp_path: Path
) -> None:
    source = recordings(tmp_path / "one", {"ann": ""}, each=10)
    shown = CliRunner().invoke(data, ["add", "-w", str(workspace.root), "plant-a/asr", str(source)]).stdout
    assert "not trainable yet: " in shown
    assert "add recordings of 2 or more others" in shown
    setting = "set slots: {plant-a/asr: {data: {closed_set: true, split_by: clip}}} in elp.yaml"
    assert f"{setting} and run: elp data resplit plant-a/asr" in shown
    closed = with_data(workspace, ASR, closed_set=True, split_by="clip")
    done = resplit_slot(closed, ASR, golden=True)
    assert done.needs == ()
    assert done.dataset.splits.keys() == {"test", "train", "validation"}
    assert done.dataset.closed_set
    assert done.golden is not None
    assert done.golden.clips == done.dataset.splits["test"] >= 2


def test_a_stuck_slot_is_corrected_and_the_golden_set_stays(workspace: Workspace, tmp_path: Path) -> None:
    named = dict.fromkeys(UNNAMED, "train") | {"gus": "test", "hal": "test"}
    add_delivery(workspace, ASR, recordings(tmp_path / "one", named))
    golden = load_golden(str(workspace.root), "latest", ASR, tmp_path / "cache")
    with pytest.raises(
        NotTrainable, match=r"data/plant-a/asr/v1 is stored.*\n.*no clip is in the validation split"
    ) as told:
        gather_inputs(None, str(workspace.root), {ASR: "data/plant-a/asr/v1"}, workspace.settings, tmp_path / "cache")
    assert "elp data resplit plant-a/asr" in str(told.value)
    done = resplit_slot(workspace, ASR)
    assert done.stored
    assert done.needs == ()
    assert done.golden is None
    after = splits_of(workspace, ASR)
    assert all(len(splits) == 1 for splits in after.values())
    assert {"gus", "hal"} == {name for name, splits in after.items() if splits == {"test"} and name in ("gus", "hal")}
    assert {"validation"} in after.values()
    kept = load_golden(str(workspace.root), "latest", ASR, tmp_path / "cache")
    assert (kept.tag, kept.digest) == (golden.tag, golden.digest)
    assert resplit_slot(workspace, ASR).stored is False
    # the source still names the earlier splits: a repeat, and no conflict
    again = add_delivery(workspace, ASR, recordings(tmp_path / "one", {**named, "ivy": "train"}))
    assert again.deliveries[-1].repeats == 16


def test_a_golden_set_is_divided_again_on_request_only(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(workspace, ASR, recordings(tmp_path / "one", UNNAMED))
    larger = with_data(workspace, ASR, test_share=0.795, validation_share=0.05)
    before = splits_of(workspace, ASR)
    golden = {name for name, splits in before.items() if splits == {"test"}}
    planned = resplit_slot(larger, ASR, golden=True, dry_run=True)
    assert splits_of(workspace, ASR) == before
    done = resplit_slot(larger, ASR, golden=True)
    assert (done.moved, done.after) == (planned.moved, planned.after)
    assert done.golden is not None
    clips: list[Clip] = load_golden(str(workspace.root), "latest", ASR, tmp_path / "cache").clips
    tested = {name for name, splits in splits_of(workspace, ASR).items() if splits == {"test"}}
    assert {clip.speaker for clip in clips} == tested != golden
    trained = load_training_data(str(workspace.root), "latest", ASR, tmp_path / "cache")
    assert not {clip.speaker for clip in (*trained.train, *trained.validation)} & tested


def test_nothing_is_left_to_train_on_if_all_speakers_are_golden(workspace: Workspace, tmp_path: Path) -> None:
    add_delivery(workspace, ASR, recordings(tmp_path / "one", {"ann": "test", "ben": "test"}))
    with pytest.raises(DataRefused, match=r"the resplit was refused.*\n.*add --golden"):
        resplit_slot(workspace, ASR)


def test_verification_says_at_intake_what_its_splits_lack(workspace: Workspace, tmp_path: Path) -> None:
    named = {"ann": "train", "ben": "train", "cat": "validation", "dan": "test", "eve": "test"}
    source = recordings(tmp_path / "one", named)
    shown = CliRunner().invoke(data, ["add", "-w", str(workspace.root), "plant-a/asv", str(source)]).stdout
    assert "the validation split has 2 clips of 1 speaker; an equal error rate needs two clips" in shown
    six = add_delivery(workspace, Slot("plant-b", "asv"), recordings(tmp_path / "six", UNNAMED))
    assert six.splits == {"test": 4, "train": 4, "validation": 4}


def test_the_units_of_another_language_are_not_lost(workspace: Workspace, tmp_path: Path) -> None:
    french = replace(workspace, settings=replace(workspace.settings, slots={str(ASR): {"language": "fr"}}))
    named = dict.fromkeys(UNNAMED, "train") | {"gus": "test"}
    made = add_delivery(french, ASR, recordings(tmp_path / "one", named))
    with pytest.raises(UsageError, match=r"are fr.*elp\.yaml declares English"):
        resplit_slot(workspace, ASR)
    done = resplit_slot(french, ASR)
    assert done.stored
    assert done.dataset.units == made.units != {}


def test_only_what_the_rule_moves_counts_as_filled(workspace: Workspace, tmp_path: Path) -> None:
    closed = with_data(workspace, ASR, closed_set=True, split_by="clip", test_share=0.4, validation_share=0.2)
    made = add_delivery(closed, ASR, recordings(tmp_path / "one", {"ann": ""}, each=30))
    assert min(made.splits.values()) > 2
    assert made.deliveries[-1].filled == {}
