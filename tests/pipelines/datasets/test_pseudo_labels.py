"""Pseudo-labels in a slot: marked, trained on and nothing else, replaced by the words of people, dropped as a whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from elp_core.audio import load
from elp_core.data.corpus import make_row, read_clips, write_shard
from elp_core.types import Clip
from pipelines.datasets.correct import correct_clips
from pipelines.datasets.corrections import StoredClip, read_corrections
from pipelines.datasets.dataset_version import DatasetVersion, parse_record, record_text
from pipelines.datasets.delivery import DeliveryContent, DeliveryOptions, Importer, SourceClip
from pipelines.datasets.drop_taught import TaughtClips, drop_taught
from pipelines.datasets.ingest import add_delivery, add_from_importer
from pipelines.datasets.resplit import resplit_slot
from pipelines.datasets.slot_shards import next_golden_ref, slot_shards
from pipelines.datasets.staging import StagedClips, stage_clips
from pipelines.datasets.versions import load_split, version_at
from pipelines.errors import DataRefused, IntakeError, UsageError
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.clips import voice, wav
from tests.support.deliveries import INTAKE, write_delivery, write_manifest
from tests.support.outcomes import DATASET
from tests.support.workspaces import isolate

SLOT = Slot("plant", "asr")
TEACHER = "sha256:" + "ab" * 32
SITE = ("open the door", "close the valve", "stop the pump", "open the valve")


def _importer(clips: Sequence[SourceClip]) -> Importer:
    return Importer("pseudo-labels", "", lambda _: True, lambda _: iter(clips))


def _clips(workspace: Workspace, version: str, cache: Path) -> dict[str, Clip]:
    return {clip.path: clip for clip in load_split(str(workspace.root), version, SLOT, None, cache)}


def _site(folder: Path) -> list[Path]:
    folder.mkdir()
    files = [folder / f"site_{place}.wav" for place in range(len(SITE))]
    for place, file in enumerate(files):
        file.write_bytes(wav(voice(0.5, 310 + 9 * place, 500 + place)))
    return files


def _staged(tmp_path: Path, clip: SourceClip, present: Path) -> StagedClips:
    content = DeliveryContent("key", "in", "x", DeliveryOptions(), (clip,), 0)
    return stage_clips(content, INTAKE, [present], tmp_path / "parts")


def test_the_words_of_people_replace_those_of_adapters_and_never_the_other_way_round(tmp_path: Path) -> None:
    (file, *_), words = _site(tmp_path / "in"), {"text": "open", "split": "train", "path": "a.wav"}
    taught, spoken = (
        write_shard([make_row(load(file), teacher=teacher, **words)], tmp_path / (teacher or "people"))
        for teacher in (TEACHER, "")
    )
    person = SourceClip("b.wav", file, text="close")
    staged = _staged(tmp_path, person, taught)
    (row,) = read_clips(staged.parts)
    # nobody knows its speaker: it stays where adapters may have learned it
    assert (row.text, row.split, row.teacher, staged.relabelled) == ("close", "train", "", {row.id})
    assert _staged(tmp_path, person, spoken).repeats[0].conflict
    for present in (taught, spoken):
        (repeat,) = _staged(tmp_path, replace(person, split="train", teacher="sha256:other"), present).repeats
        assert (repeat.conflict, repeat.stored) == ("", True)


def test_a_correction_of_the_words_removes_the_mark_and_another_one_does_not(tmp_path: Path) -> None:
    stored = StoredClip("ab" * 32, "a.wav", "", "open", "", "", "train", TEACHER)
    home = StoredClip("cd" * 32, "b.wav", "", "open", "emil", "", "test")
    clips = {one.id: one for one in (stored, home)}

    def corrected(**values: str) -> StoredClip:
        file = write_manifest(tmp_path, [{"id": stored.id, **values}])
        return read_corrections(file, clips, lambda text: text).found[0].after

    assert corrected(text="open").teacher == ""
    assert corrected(text="open", speaker="emil").split == "test"
    kept = corrected(speaker="emil")
    assert (kept.teacher, kept.split) == (TEACHER, "train")
    with pytest.raises(IntakeError, match="its words are a pseudo-label, so it stays in the training split"):
        corrected(split="test")


def test_records_name_the_teachers_only_if_there_are_some() -> None:
    assert "taught" not in record_text(DATASET)
    assert "teacher" not in record_text(DATASET)
    taught = replace(DATASET, teachers=(TEACHER,), taught_clips=2, taught_seconds=1.5)
    assert parse_record(DatasetVersion, record_text(taught)) == taught


def test_the_clips_to_drop_are_those_of_a_teacher_or_of_a_delivery() -> None:
    for wanted in (TaughtClips(teacher=TEACHER), TaughtClips(teacher="ABABABAB"), TaughtClips(delivery="d1")):
        assert wanted.matches(TEACHER, "d1")
        # never the words of people, whatever delivery they are in
        assert not wanted.matches("", "d1")
    assert not TaughtClips(teacher="cd" * 4).matches(TEACHER, "d1")
    for wrong in ({}, {"teacher": "ab" * 4, "delivery": "d1"}, {"teacher": "abc"}, {"teacher": "plant-a v3"}):
        with pytest.raises(UsageError, match="--teacher"):
            TaughtClips(**wrong)


@pytest.mark.slow
@pytest.mark.integration
def test_pseudo_labels_are_trained_on_until_people_label_the_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.local.initialise import init_workspace

    isolate(tmp_path / "home", monkeypatch)
    workspace, cache = init_workspace(tmp_path / "site"), tmp_path / "cache"
    add_delivery(workspace, SLOT, write_delivery(tmp_path / "one", each=4))
    files = _site(tmp_path / "unlabelled")
    taught = [
        SourceClip(file.name, file, text=text, split="train", teacher=TEACHER)
        for file, text in zip(files, SITE, strict=True)
    ]
    version = add_from_importer(workspace, SLOT, tmp_path / "unlabelled", _importer(taught), DeliveryOptions())
    assert (version.teachers, version.taught_clips, version.taught_seconds) == ((TEACHER,), 4, 2.0)
    assert version.deliveries[-1].teacher == TEACHER
    assert parse_record(DatasetVersion, record_text(version)).teachers == (TEACHER,)
    assert "teach" not in record_text(version_at(workspace, "v1", SLOT))
    found = _clips(workspace, "v2", cache)
    marked = {path for path, clip in found.items() if clip.teacher}
    assert marked == {file.name for file in files}
    assert {found[path].split for path in marked} == {"train"}

    # the whole slot is divided again: they stay; and no golden set is made of them
    resplit_slot(workspace, SLOT)
    assert version_at(workspace, "latest", SLOT).taught_clips == 4
    golden = {"closed_set": False, "language": version.language}
    with pytest.raises(DataRefused, match="4 of its clips have pseudo-labels"):
        next_golden_ref(workspace, SLOT, slot_shards(workspace, SLOT, "shards"), "v2", [], **golden)

    # a correction of the words removes the mark, the same words do, too; a speaker alone does not
    rows = [{"audio_filepath": "site_0.wav", "text": SITE[0]}, {"audio_filepath": "site_1.wav", "speaker": "emil"}]
    after = correct_clips(workspace, SLOT, write_manifest(tmp_path, rows, "corrected.jsonl")).dataset
    assert after.taught_clips == 3
    with pytest.raises(IntakeError, match="its words are a pseudo-label, so it stays in the training split"):
        correct_clips(
            workspace, SLOT, write_manifest(tmp_path, [{"audio_filepath": "site_1.wav", "split": "test"}], "c.jsonl")
        )

    # a person labels a recording: that is no conflict, and the recording stays where it was trained on
    labelled = tmp_path / "labelled"
    labelled.mkdir()
    shutil.copy(files[2], labelled / "call.wav")
    row = {"audio_filepath": "call.wav", "text": "stop the pump now"}
    (labelled / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    after = add_delivery(workspace, SLOT, labelled / "manifest.jsonl")
    assert (after.clips, after.taught_clips, after.deliveries[-1].relabelled) == (20, 2, 1)
    clip = _clips(workspace, after.tag, cache)["call.wav"]
    assert (clip.text, clip.teacher, clip.split) == ("stop the pump now", "", "train")

    # the other way round: an adapter does not overrule a person
    again = [SourceClip("site_2.wav", files[2], text="other words", split="train", teacher="sha256:" + "cd" * 32)]
    assert add_from_importer(workspace, SLOT, tmp_path / "unlabelled", _importer(again), DeliveryOptions()) == after

    with pytest.raises(UsageError, match="no pseudo-label of the adapter cdcdcdcd"):
        drop_taught(workspace, SLOT, TaughtClips(teacher="cd" * 4))
    dropped = drop_taught(workspace, SLOT, TaughtClips(teacher=TEACHER))
    assert (dropped.clips, dropped.teachers, dropped.withdrawn) == (18, (), ())
