"""Deliveries that real users had, in small: each is taken in right, or refused in a sentence that names the cause."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from pipelines.datasets.importers.nemo import nemo_clips
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.slot_shards import quarantined_clips
from pipelines.datasets.versions import load_split
from pipelines.errors import DataRefused, IntakeError
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot
from tests.support.clips import voice, wav
from tests.support.deliveries import SPEAKERS, write_delivery

ASR, SER = Slot("plant", "asr"), Slot("plant", "ser")
NFC, NFD = (unicodedata.normalize(form, "ärgerlich") for form in ("NFC", "NFD"))


def _texts(workspace: Workspace, slot: Slot, cache: Path) -> dict[str, str]:
    return {clip.path: clip.text for clip in load_split(str(workspace.root), "latest", slot, None, cache)}


def _settings(workspace: Workspace, text: str) -> Workspace:
    import subprocess

    (workspace.root / "elp.yaml").write_text(f"remote: .elp/remote\n{text}")
    subprocess.run(["git", "-C", str(workspace.root), "commit", "-qam", "Set it up"], check=True)
    return open_workspace(workspace.root)


@pytest.mark.integration
def test_the_first_segment_of_a_call_begins_at_0(workspace: Workspace, tmp_path: Path) -> None:
    call = wav(voice(3.0, 220, 5))
    changes = {
        "anna_0": {"bytes": call, "duration": 0.6, "text": "one"},
        "anna_1": {"audio_filepath": "audio/anna_0.wav", "offset": 0.9, "duration": 0.6, "text": "two"},
        "bert_0": {"duration": 0.5},
        "bert_1": {"duration": 0.58},
    }
    clips = {clip.text: clip for clip in nemo_clips(write_delivery(tmp_path, **changes))}
    assert (clips["one"].start, clips["one"].seconds) == (0.0, 0.6)
    add_delivery(workspace, ASR, tmp_path)
    found = {
        clip.text: clip.duration
        for clip in load_split(str(workspace.root), "latest", ASR, ["train"], tmp_path / "c", "meta")
    }
    assert (found["one"], found["two"], found["open the door"]) == (0.6, 0.6, 0.5)


@pytest.mark.integration
def test_nan_is_no_word_no_speaker_and_no_class(workspace: Workspace, tmp_path: Path) -> None:
    nan = float("nan")
    changes = {"anna_0": {"text": nan}, "bert_0": {"speaker": nan}, "bert_1": {"speaker": None}}
    manifest = write_delivery(tmp_path / "asr", **changes)
    assert '"text": NaN' in manifest.read_text()
    version = add_delivery(workspace, ASR, manifest)
    assert (version.quarantine, version.speakers) == ({"empty_transcript": 1}, 4)
    labels = {
        f"{name}_{take}": {"label": ("calm", "angry")[take % 2]}
        for name in ("anna", "bert", "carla", "doris")
        for take in range(3)
    }
    changes = {**labels, "anna_0": {"label": nan}, "bert_0": {"label": nan}}
    version = add_delivery(workspace, SER, write_delivery(tmp_path / "ser", seed=1, **changes))
    assert version.quarantine == {"no_label": 2}
    assert {label for labels in version.classes.values() for label in labels} == {"calm", "angry"}


@pytest.mark.integration
def test_two_forms_of_one_name_are_one_speaker_and_one_class(workspace: Workspace, tmp_path: Path) -> None:
    labels = {
        f"{name}_{take}": {"label": (NFC, "froh")[take % 2]}
        for name in ("anna", "bert", "carla", "doris")
        for take in range(3)
    }
    changes = {**labels, "carla_0": {"label": NFD}, "doris_0": {"label": NFD}}
    version = add_delivery(workspace, SER, write_delivery(tmp_path / "ser", **changes))
    assert {name for found in version.classes.values() for name in found} == {NFC, "froh"}
    zoe = {form: {"speaker": unicodedata.normalize(form, "Zoë")} for form in ("NFC", "NFD")}
    leak = {"anna_0": zoe["NFC"], "anna_1": {**zoe["NFD"], "split": "test"}}
    with pytest.raises(DataRefused, match=r"leakage: 1 speaker in more than one split \(Zoë\)"):
        add_delivery(workspace, ASR, write_delivery(tmp_path / "asr", **leak))


DIALECTS = {
    "bom": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "utf16": lambda text: text.encode("utf-16"),
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "array": lambda text: json.dumps([json.loads(line) for line in text.splitlines()], indent=1).encode(),
    "backslash": lambda text: text.replace("audio/", ".\\\\audio\\\\").encode(),
    "capitals": lambda text: text.replace(".wav", ".WAV").encode(),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_windows_and_exports_write_is_the_same_delivery(tmp_path: Path, dialect: str) -> None:
    manifest = write_delivery(tmp_path)
    expected = list(nemo_clips(manifest))
    manifest.write_bytes(DIALECTS[dialect](manifest.read_text()))
    assert list(nemo_clips(manifest)) == expected


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("~/x/anna_0.wav", "line 1: the file ~/x/anna_0.wav does not exist (and 11 more lines like it)"),
        ("D:\\x\\anna_0.wav", "is a path of a Windows computer"),
    ],
)
def test_paths_of_another_place_are_one_sentence(tmp_path: Path, name: str, says: str) -> None:
    changes = {
        f"{who}_{take}": {"audio_filepath": name.replace("anna_0", f"{who}_{take}")}
        for who in ("anna", "bert", "carla", "doris")
        for take in range(3)
    }
    with pytest.raises(IntakeError, match="12 faults") as caught:
        list(nemo_clips(write_delivery(tmp_path, **changes)))
    assert len(caught.value.faults) == 1
    assert says in caught.value.faults[0]


@pytest.mark.integration
def test_a_transcript_in_another_language_than_the_slot_s_goes_to_quarantine(
    workspace: Workspace, tmp_path: Path
) -> None:
    manifest = write_delivery(
        tmp_path, anna_0={"lang": "de-DE"}, anna_1={"lang": "en-US"}, bert_0={"lang": float("nan")}
    )
    assert add_delivery(workspace, ASR, manifest).quarantine == {"other_language": 1}
    german = _settings(workspace, "slots: {plant/ser: {language: de}}\n")
    labels = {f"{name}_{take}": {"label": ("calm", "angry")[take % 2]} for name in SPEAKERS for take in range(3)}
    ser = add_delivery(
        german, SER, write_delivery(tmp_path / "ser", **{**labels, "anna_0": {"label": "calm", "lang": "en"}})
    )
    assert ser.quarantined == 0


TAGGED = {
    "anna_0": {"text": "[laughter] yes"},
    "anna_1": {"text": "(noise) no"},
    "bert_0": {"text": "so [pause] right (background speech)"},
    "bert_1": {"text": "[UNINTELLIGIBLE]"},
}


@pytest.mark.integration
def test_tags_go_to_quarantine_with_their_clip(workspace: Workspace, tmp_path: Path) -> None:
    workspace = _settings(workspace, "defaults: {asr: {data: {max_quarantined: 0.5}}}\n")
    version = add_delivery(workspace, ASR, write_delivery(tmp_path, **TAGGED))
    assert version.quarantine == {"tags": 4}
    assert "has the tag [laughter], which is no word" in quarantined_clips(workspace, ASR)[0].detail


@pytest.mark.integration
def test_tags_are_removed_by_the_slot_s_rule_and_counted(workspace: Workspace, tmp_path: Path) -> None:
    workspace = _settings(workspace, "defaults: {asr: {data: {tags: remove}}}\n")
    version = add_delivery(workspace, ASR, write_delivery(tmp_path / "in", **TAGGED))
    texts = _texts(workspace, ASR, tmp_path / "cache")
    assert [texts[f"audio/{name}.wav"] for name in ("anna_0", "anna_1", "bert_0")] == ["yes", "no", "so right"]
    assert (version.quarantine, version.deliveries[-1].untagged) == ({"empty_transcript": 1}, 4)
    assert '"untagged": 4' in (workspace.root / ASR.folder / "dataset.json").read_text()


@pytest.mark.parametrize(("text", "says"), [(["yes", "no"], "a list"), (True, "true"), ({"a": 1}, "an object")])
def test_a_list_or_a_boolean_is_no_transcript(tmp_path: Path, text: object, says: str) -> None:
    with pytest.raises(IntakeError, match=rf"line 2: text is {says}, expected a text"):
        list(nemo_clips(write_delivery(tmp_path, anna_1={"text": text})))


def test_a_transcript_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("close the valve\n")
    manifest = write_delivery(
        tmp_path, anna_0={"text": None, "text_filepath": "a.txt"}, anna_1={"text_filepath": "a.txt"}
    )
    assert [clip.text for clip in list(nemo_clips(manifest))[:2]] == ["close the valve", "close the valve"]
    with pytest.raises(IntakeError, match=r"text_filepath: the file b\.txt does not exist"):
        list(nemo_clips(write_delivery(tmp_path, anna_0={"text": "", "text_filepath": "b.txt"})))
