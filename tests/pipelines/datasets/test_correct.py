"""Corrections of known clips: what changes, what is refused, and what a later delivery does not undo."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elp_core.types import Clip
from pipelines.datasets.correct import correct_clips, plan_corrections
from pipelines.datasets.corrections import StoredClip, read_corrections
from pipelines.datasets.drop import drop_clips
from pipelines.datasets.golden_set import pin_golden
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.readmit import readmit_clip
from pipelines.datasets.subject import Subject
from pipelines.datasets.versions import dataset_versions, load_golden, load_split, version_at
from pipelines.errors import DataRefused, IntakeError, UsageError
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.deliveries import silence, write_delivery, write_manifest
from tests.support.workspaces import isolate

pytestmark = pytest.mark.integration
SLOT = Slot("plant", "asr")
SPOILT = {"anna_3": {"bytes": silence()}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A slot with one delivery: four speakers with four clips each, one of them in quarantine."""
    from pipelines.datasets.expectations import import_great_expectations
    from pipelines.local.initialise import init_workspace

    import_great_expectations()
    root = tmp_path_factory.mktemp("correct")
    with pytest.MonkeyPatch.context() as patch:
        isolate(root / "home", patch)
        workspace = init_workspace(root / "site")
        add_delivery(workspace, SLOT, write_delivery(root / "one", each=4, **SPOILT))
        yield workspace


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path) -> Workspace:
    """A clone with a copy of the remote."""
    import shutil

    from pipelines.local.workspace import open_workspace

    root = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(made.root), str(root)], check=True)
    shutil.copytree(made.root / ".elp" / "remote", root / ".elp" / "remote")
    return open_workspace(root)


def _clips(workspace: Workspace, version: str, tmp_path: Path) -> dict[str, Clip]:
    found = load_split(str(workspace.root), version, SLOT, None, tmp_path / "cache")
    return {clip.path: clip for clip in found}


def _rows(folder: Path, *rows: dict[str, Any], name: str = "corrected.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    return write_manifest(folder, list(rows), name)


def _state(workspace: Workspace) -> tuple[str, str, str]:
    """What no refused correction may change; shards that the remote gives are no change."""
    root = workspace.root
    return git.resolve(root), git.git(root, "tag"), git.git(root, "status", "--porcelain")


def test_a_corrected_manifest_makes_a_version_with_the_new_words_alone(workspace: Workspace, tmp_path: Path) -> None:
    before = _clips(workspace, "v1", tmp_path)
    source = write_delivery(tmp_path / "again", each=4, **SPOILT, anna_0={"text": "Close the GATE."})
    done = correct_clips(workspace, SLOT, source)
    assert [one.changes for one in done.corrections] == [{"text": ("open the door", "close the gate")}]
    assert (done.dataset.version, done.rows, done.quarantined, done.golden, done.stored) == (2, 16, 1, None, True)
    after = _clips(workspace, "v2", tmp_path)
    assert after["audio/anna_0.wav"].text == "close the gate"
    assert {path for path in before if before[path] != after[path]} == {"audio/anna_0.wav"}
    assert _clips(workspace, "v1", tmp_path) == before
    assert done.dataset.dvc_hash != version_at(workspace, "v1", SLOT).dvc_hash
    # again: nothing to do
    state = _state(workspace)
    again = correct_clips(workspace, SLOT, source)
    assert (again.stored, again.corrections, again.dataset.version) == (False, (), 2)
    assert _state(workspace) == state


def test_neither_delivery_undoes_a_correction_nor_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    wrong = write_delivery(tmp_path / "wrong", each=4, **SPOILT)
    right = write_delivery(tmp_path / "right", each=4, **SPOILT, anna_0={"text": "close the gate"})
    remedy = "if the new words are right, correct the stored ones first: elp data correct plant/asr FILE"
    with pytest.raises(DataRefused, match=remedy):
        add_delivery(workspace, SLOT, right)
    correct_clips(workspace, SLOT, right)
    for source in (wrong, right):
        assert add_delivery(workspace, SLOT, source).version == 2
    # with new clips, the old manifest is another delivery
    more = write_delivery(tmp_path / "more", each=5, **SPOILT)
    made = add_delivery(workspace, SLOT, more)
    assert (made.version, made.deliveries[-1].clips, made.deliveries[-1].repeats) == (3, 4, 15)
    assert _clips(workspace, "v3", tmp_path)["audio/anna_0.wav"].text == "close the gate"
    with pytest.raises(DataRefused, match=remedy):
        add_delivery(workspace, SLOT, write_delivery(tmp_path / "other", each=4, anna_0={"text": "a third text"}))


@pytest.mark.parametrize("form", ["id", "short id", "csv", "absolute", "other separators"])
def test_a_row_may_name_its_clip_in_several_ways(form: str, workspace: Workspace, tmp_path: Path) -> None:
    clip = _clips(workspace, "v1", tmp_path)["audio/bert_1.wav"]
    names = {
        "id": {"id": clip.id},
        "short id": {"clip": clip.id[:8].upper()},
        "csv": {"file_name": "audio/bert_1.wav"},
        "absolute": {"audio_filepath": str(tmp_path / "in" / "audio" / "bert_1.wav")},
        "other separators": {"audio_filepath": ".\\audio\\x\\..\\bert_1.wav"},
    }
    file = _rows(tmp_path / "in", {**names[form], "text": "go"})
    if form == "csv":
        file = file.with_suffix(".csv")
        file.write_text("file_name;text;speaker\naudio/bert_1.wav;go;\n")
    done = plan_corrections(workspace, SLOT, file)
    assert [(one.after.id, one.changes) for one in done.corrections] == [(clip.id, {"text": (clip.text, "go")})]


FAULTS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "unknown": (
        [{"audio_filepath": "audio/x.wav", "text": "a"}],
        "line 1: no clip of the slot was delivered as",
    ),
    "no name": ([{"audio_filepath": "audio/anna_0.wav"}, {"text": "a"}], "line 2: it names no clip; expected id"),
    "no value": ([{"audio_filepath": "audio/anna_0.wav"}], "no row has one of text, speaker, label, split"),
    "bad id": ([{"id": "xyz", "text": "a"}], "line 1: the id 'xyz' is not 8 to 64 hexadecimal digits"),
    "no such id": ([{"id": "0" * 64, "text": "a"}], "line 1: the id 000000000000 is that of 0 clips of the slot"),
    "twice": (
        [{"audio_filepath": "audio/anna_0.wav", "text": text} for text in ("a", "b")],
        "line 2: it names the clip of line 1 with other values",
    ),
    "split": (
        [{"audio_filepath": "audio/anna_0.wav", "split": "tset"}],
        "line 1: unknown split 'tset', expected",
    ),
    "type": ([{"audio_filepath": "audio/anna_0.wav", "text": ["a"]}], "line 1: text is a list, expected a text"),
    "empty": ([], "names no clip"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_row_that_cannot_be_applied_is_named_with_its_line(kind: str, workspace: Workspace, tmp_path: Path) -> None:
    rows, says = FAULTS[kind]
    state = _state(workspace)
    with pytest.raises(IntakeError, match=says):
        correct_clips(workspace, SLOT, _rows(tmp_path / "in", *rows))
    assert _state(workspace) == state


def test_a_path_of_two_clips_asks_for_the_id(workspace: Workspace, tmp_path: Path) -> None:
    source = write_delivery(tmp_path / "noisy", each=4, **SPOILT)
    add_delivery(workspace, SLOT, source, options={"noise": "factory"})
    row = {"audio_filepath": "audio/anna_0.wav", "text": "go"}
    with pytest.raises(IntakeError, match=r"line 1: audio/anna_0.wav names 2 clips \(.*open.*; name one by its id"):
        correct_clips(workspace, SLOT, _rows(tmp_path / "in", row))
    done = plan_corrections(workspace, SLOT, _rows(tmp_path / "in", {**row, "condition": "factory-5db"}))
    assert [one.before.condition for one in done.corrections] == ["factory-5db"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"text": "turn to 90°"}, r"line 1: outside_alphabet: .*'turn to 90°' has"),
        ({"text": "[laughter] yes"}, r"line 1: the transcript '\[laughter\] yes' has the tag \[laughter\]"),
        ({"text": "many too many words for half a second of sound"}, "line 1: transcript_too_long"),
        ({"split": "test"}, r"leakage: 1 speaker.*anna"),
    ],
)
def test_corrected_clips_pass_the_checks_of_a_delivery(
    row: dict[str, str], says: str, workspace: Workspace, tmp_path: Path
) -> None:
    state = _state(workspace)
    with pytest.raises((DataRefused, IntakeError), match=says):
        correct_clips(workspace, SLOT, _rows(tmp_path / "in", {"audio_filepath": "audio/anna_0.wav", **row}))
    assert _state(workspace) == state


def test_another_speaker_takes_the_clip_into_that_speakers_split(workspace: Workspace, tmp_path: Path) -> None:
    rows = [
        {"audio_filepath": "audio/anna_0.wav", "speaker": " carla "},
        {"audio_filepath": "audio/anna_1.wav", "speaker": "emil"},
    ]
    done = correct_clips(workspace, SLOT, _rows(tmp_path / "in", *rows))
    assert [one.changes for one in done.corrections] == [
        {"speaker": ("anna", "carla"), "split": ("train", "validation")},
        {"speaker": ("anna", "emil")},
    ]
    assert done.dataset.splits == {"test": 4, "train": 6, "validation": 5}
    # later clips of the new name follow the stored ones, whatever split the name alone would give
    unnamed = {f"{name}_{take}": {"split": ""} for name in ("anna", "bert", "carla", "doris") for take in range(3)}
    emil = {f"anna_{take}": {"speaker": "emil", "split": ""} for take in range(3)}
    made = add_delivery(workspace, SLOT, write_delivery(tmp_path / "two", seed=1, **(unnamed | emil)))
    assert made.closed_set is False
    history = subprocess.run(
        ["git", "-C", str(workspace.root), "log", "-p"], capture_output=True, text=True, check=True
    )
    assert "Correct 2 clips of plant/asr (v2)" in history.stdout
    assert "emil" not in history.stdout


def test_golden_clips_change_only_on_request_and_in_a_new_golden_set(workspace: Workspace, tmp_path: Path) -> None:
    file = _rows(tmp_path / "in", {"audio_filepath": "audio/doris_0.wav", "text": "go"})
    state = _state(workspace)
    with pytest.raises(UsageError, match=r"1 of the clips are in the golden set .*the first: line 1.*add --golden"):
        correct_clips(workspace, SLOT, file)
    assert _state(workspace) == state
    done = correct_clips(workspace, SLOT, file, golden=True)
    assert done.golden is not None
    assert (done.golden.tag, done.dataset.golden) == ("golden/plant/asr/v2", "golden/plant/asr/v2")
    was, now = (load_golden(str(workspace.root), version, SLOT, tmp_path / "cache") for version in ("v1", "v2"))
    texts = [{clip.path: clip.text for clip in one.clips} for one in (was, now)]
    assert [one["audio/doris_0.wav"] for one in texts] == ["open the door", "go"]
    assert was.digest == now.digest
    assert done.golden.words.startswith("sha256:")
    assert pin_golden(workspace, SLOT, "v2") == done.golden
    # the words that were wrong are other ones
    assert pin_golden(workspace, SLOT, "v1").version == 3


def test_a_golden_clip_that_is_moved_to_training_leaves_the_golden_set(workspace: Workspace, tmp_path: Path) -> None:
    file = _rows(tmp_path / "in", {"audio_filepath": "audio/doris_0.wav", "speaker": "anna"})
    done = correct_clips(workspace, SLOT, file, golden=True)
    assert done.golden is not None
    assert (done.golden.clips, done.dataset.splits["train"]) == (3, 8)
    train = load_split(str(workspace.root), "latest", SLOT, ("train",), tmp_path / "cache")
    assert "audio/doris_0.wav" in {clip.path for clip in train}
    every = [{"audio_filepath": f"audio/doris_{take}.wav", "speaker": "anna"} for take in range(1, 4)]
    with pytest.raises(DataRefused, match=r"no clip of golden/plant/asr/v2 would be left"):
        correct_clips(workspace, SLOT, _rows(tmp_path / "in", *every), golden=True)


def test_transcripts_are_corrected_in_the_language_of_their_slot(workspace: Workspace, tmp_path: Path) -> None:
    german, berlin = {"language": "de"}, Slot("berlin", "asr")
    settings = replace(workspace.settings, slots={str(SLOT): german, str(berlin): german})
    declared = replace(workspace, settings=settings)
    add_delivery(declared, berlin, write_delivery(tmp_path / "berlin"))
    row = {"audio_filepath": "audio/anna_0.wav", "text": "Öffne die Tür!"}
    done = correct_clips(declared, berlin, _rows(tmp_path / "in", row))
    assert [one.changes["text"][1] for one in done.corrections] == ["öffne die tür"]
    assert done.dataset.language.code == "de"
    with pytest.raises(UsageError, match="never mixed"):
        correct_clips(declared, SLOT, _rows(tmp_path / "in", row))


def test_a_dry_run_changes_nothing_and_finds_the_same(workspace: Workspace, tmp_path: Path) -> None:
    file = _rows(tmp_path / "in", {"audio_filepath": "audio/doris_0.wav", "text": "go"})
    state = _state(workspace)
    plan = plan_corrections(workspace, SLOT, file, golden=True)
    assert (plan.stored, plan.golden_clips, plan.dataset.version) == (False, 1, 1)
    assert _state(workspace) == state
    assert correct_clips(workspace, SLOT, file, golden=True).corrections == plan.corrections


def test_dropped_clips_are_not_corrected_but_can_be_readmitted(workspace: Workspace, tmp_path: Path) -> None:
    clip = _clips(workspace, "v1", tmp_path)["audio/anna_0.wav"].id
    drop_clips(workspace, SLOT, Subject(clip=clip))
    for row, says in (
        ({"id": clip}, "was dropped; a dropped clip"),
        ({"path": "audio/anna_0.wav"}, "1 dropped"),
    ):
        with pytest.raises(IntakeError, match=says):
            correct_clips(workspace, SLOT, _rows(tmp_path / "in", {**row, "text": "go"}))
    source = write_delivery(tmp_path / "again", each=4, **SPOILT)
    assert add_delivery(workspace, SLOT, source).version == 2
    with pytest.raises(UsageError, match="the id 00000000 is that of 0 dropped clips of plant/asr"):
        readmit_clip(workspace, SLOT, Subject(clip="0" * 8))
    freed = readmit_clip(workspace, SLOT, Subject(clip=clip[:8]))
    assert (freed.version, freed.withdrawn, freed.clips) == (3, (), 14)
    back = add_delivery(workspace, SLOT, source)
    assert (back.version, back.clips, back.deliveries[-1].clips) == (4, 15, 1)
    assert add_delivery(workspace, SLOT, source).version == 4


def test_a_drop_finds_the_corrected_name_and_forgets_earlier_words(workspace: Workspace, tmp_path: Path) -> None:
    file = _rows(tmp_path / "in", {"audio_filepath": "audio/anna_0.wav", "speaker": "emil"})
    corrected = correct_clips(workspace, SLOT, file).dataset
    assert list(corrected.corrected) == [_clips(workspace, "v2", tmp_path)["audio/anna_0.wav"].id]
    with pytest.raises(UsageError, match="holds nothing of speaker nobody"):
        drop_clips(workspace, SLOT, Subject(speaker="nobody"))
    done = drop_clips(workspace, SLOT, Subject(speaker="emil"))
    assert (done.clips, done.dataset.corrected) == (1, {})
    text = (workspace.root / SLOT.folder / "dataset.json").read_text()
    assert "corrected" not in json.loads(text)


@pytest.mark.parametrize("at", ["pipelines.datasets.dvc.push", "pipelines.local.git.commit", "pipelines.local.git.tag"])
def test_a_correction_that_was_killed_is_made_good_by_the_next_run(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    from pipelines.datasets import slot_change
    from pipelines.errors import VersioningError

    def broken(*_: object, **__: object) -> None:
        raise VersioningError("it was killed")

    file = _rows(tmp_path / "in", {"audio_filepath": "audio/doris_0.wav", "text": "go"})
    with monkeypatch.context() as patch:
        patch.setattr(at, broken)
        if at != "pipelines.local.git.tag":
            # a killed process does not clean up
            patch.setattr(slot_change, "recover", lambda *_, **__: None)
        with pytest.raises(VersioningError, match="it was killed"):
            correct_clips(workspace, SLOT, file, golden=True)
    correct_clips(workspace, SLOT, file, golden=True)
    assert [version.version for version in dataset_versions(workspace, SLOT)] == [1, 2]
    assert _clips(workspace, "v2", tmp_path)["audio/doris_0.wav"].text == "go"
    assert git.git(workspace.root, "status", "--porcelain") == ""
    assert load_golden(str(workspace.root), "v2", SLOT, tmp_path / "cache").tag == "golden/plant/asr/v2"


@pytest.mark.parametrize("header", ["file_name,text", "Clip ID,text", 'sep=;\n"file_name";text'])
def test_words_of_the_transcripts_are_no_columns(tmp_path: Path, header: str) -> None:
    clip = StoredClip("ab" * 32, "a.wav", "", "old", "anna", "", "train")
    file, name = tmp_path / "c.csv", clip.id if "ID" in header else clip.path
    file.write_text(f"{header}\n{name}{';' if 'sep' in header else ','}my id card and a paper clip\n")
    (found,) = read_corrections(file, {clip.id: clip}, lambda text: text).found
    assert found.changes == {"text": ("old", "my id card and a paper clip")}


def test_groups_are_set_by_a_correction_and_stay_through_every_later_change(
    workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = {"dialect": "kansai", "gender": "f"}
    people = {f"{name}_{take}": {"group": said} for name in ("anna", "doris") for take in range(4)}
    people["anna_3"] |= SPOILT["anna_3"]
    source = write_delivery(tmp_path / "grouped", each=4, **people)
    # a delivery does not change what is stored, and says so
    assert add_delivery(workspace, SLOT, source).version == 1
    assert "the groups of 7 clips that were taken in before are not stored" in caplog.text
    done = correct_clips(workspace, SLOT, source, golden=True)
    assert (len(done.corrections), done.golden_clips) == (7, 4)
    assert done.corrections[0].changes == {"group": ("", "dialect=kansai; gender=f")}
    assert done.dataset.groups == {"dialect": {"kansai": 7}, "gender": {"f": 7}}
    golden = load_golden(str(workspace.root), "latest", SLOT, tmp_path / "cache")
    assert {clip.group for clip in golden.clips} == {"dialect=kansai; gender=f"}
    assert done.golden is not None
    assert done.golden.words
    # what a source does not say contradicts nothing; another value does
    assert add_delivery(workspace, SLOT, write_delivery(tmp_path / "plain", each=4, **SPOILT)).version == 2
    more = write_delivery(tmp_path / "more", each=5, **SPOILT, bert_4={"group": "gender=m; unit=tablet"})
    assert add_delivery(workspace, SLOT, more).groups["gender"] == {"f": 7, "m": 1}
    with pytest.raises(DataRefused, match="group 'dialect=kansai; gender=f' and 'gender=m'"):
        add_delivery(
            workspace, SLOT, write_delivery(tmp_path / "other", each=4, **SPOILT, doris_1={"group": "gender=m"})
        )
    left = drop_clips(workspace, SLOT, Subject(clip=done.corrections[0].after.id)).dataset
    assert left.groups == {"dialect": {"kansai": 6}, "gender": {"f": 6, "m": 1}, "unit": {"tablet": 1}}
    gone = drop_clips(workspace, SLOT, Subject("anna")).dataset
    assert gone.groups == {"dialect": {"kansai": 4}, "gender": {"f": 4, "m": 1}, "unit": {"tablet": 1}}
    assert {clip.group for clip in _clips(workspace, "latest", tmp_path).values() if clip.speaker == "doris"} == {
        "dialect=kansai; gender=f",
        "",
    }
