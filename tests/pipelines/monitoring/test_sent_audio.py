from __future__ import annotations

import json
from pathlib import Path

import pytest

from elp_core.tasks import IntentClassification, SpeakerVerification
from elp_core.types import Clip
from pipelines.errors import UsageError
from pipelines.monitoring.clip_scores import golden_blocks
from pipelines.monitoring.labels import unknown_labels
from pipelines.monitoring.sent_audio import SentClip, decoded, read_source
from tests.support.clips import voice, wav


def _manifest(folder: Path, *rows: object) -> Path:
    path = folder / "sent.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_a_subfolder_is_a_session(tmp_path: Path) -> None:
    for name in ("monday/a.wav", "monday/late/b.FLAC", "monday/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [(clip.path.name, clip.block) for clip in read_source(tmp_path)] == [
        ("a.wav", "monday"), ("b.FLAC", "monday/late")
    ]  # fmt: skip
    (tmp_path / "loose.wav").touch()
    with pytest.raises(UsageError, match=r"1 recording\(s\) of .* are in no subfolder, the first is loose.wav"):
        read_source(tmp_path)


def test_a_manifest_names_the_session_or_the_speaker(tmp_path: Path) -> None:
    path = _manifest(
        tmp_path,
        {"audio_filepath": "a.wav", "session": "s1", "speaker": "ann", "call": 7},
        "",
        {"audio_filepath": "b.wav", "speaker": "ann", "call": 8},
    )
    assert [clip.block for clip in read_source(path)] == ["s1", "ann"]
    assert read_source(path, "call") == [SentClip(tmp_path / "a.wav", "7"), SentClip(tmp_path / "b.wav", "8")]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"session": "s"}, "line 2 has no audio_filepath"),
        ({"audio_filepath": "a.wav"}, "line 2 has no session or speaker"),
        ({"audio_filepath": "a.wav", "session": ["s"]}, "line 2 has no session or speaker"),
        ("[1]", "line 2 has no audio_filepath"),
        ("{", "line 2 is no JSON"),
    ],
)
def test_a_manifest_that_is_not_understood_is_refused(tmp_path: Path, row: object, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        read_source(_manifest(tmp_path, {"audio_filepath": "a.wav", "session": "s"}, row))


def test_sources_without_recordings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no recording"):
        read_source(tmp_path)
    with pytest.raises(UsageError, match="does not exist; name a folder with a subfolder for each session"):
        read_source(tmp_path / "gone")
    with pytest.raises(UsageError, match="is a folder and has no column 'call'"):
        read_source(tmp_path, "call")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UsageError, match="is no manifest in UTF-8"):
        read_source(tmp_path / "binary.jsonl")


def test_a_recording_that_cannot_be_read_is_reported_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "good.wav").write_bytes(wav(voice(0.3, 200, 1)))
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    faults: list[str] = []
    sent = [SentClip(tmp_path / name, "s") for name in ("bad.wav", "good.wav", "gone.wav")]
    assert [(sound.block, len(sound.samples)) for sound in decoded(sent, faults.append)] == [("s", 4800)]
    assert [Path(fault.split()[0]).name for fault in faults] == ["bad.wav", "gone.wav"]


def _clip(name: str, speaker: str) -> Clip:
    return Clip(name, b"", 1.0, "test", speaker=speaker)


def test_labels_that_the_champion_does_not_know_are_named() -> None:
    clips = [Clip(str(number), b"", 1.0, "test", label=label) for number, label in enumerate(("on", "offf", "aus"))]
    assert unknown_labels(IntentClassification(("off", "on")), clips) == ["aus", "offf"]
    assert unknown_labels(SpeakerVerification(("anna", "bert")), clips) == []


def test_a_speaker_is_a_block_and_in_a_closed_set_several() -> None:
    clips = [_clip(f"{place}", "ann" if place < 5 else "bob") for place in range(8)]
    assert golden_blocks(clips, 2, closed_set=False) == {f"{n}": "ann" if n < 5 else "bob" for n in range(8)}
    assert list(golden_blocks(clips, 2, closed_set=True).values()) == [
        "ann 1", "ann 1", "ann 2", "ann 2", "ann 3", "bob 1", "bob 1", "bob 2"
    ]  # fmt: skip
    with pytest.raises(UsageError, match="clip x of the golden set has no speaker"):
        golden_blocks([_clip("x", "")], 2, closed_set=False)
