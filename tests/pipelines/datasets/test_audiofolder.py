from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.datasets.importers.audiofolder import AUDIOFOLDER, audiofolder_clips
from pipelines.errors import IntakeError
from tests.support.clips import voice, wav


def folder_with(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(wav(voice(0.3, 300, len(name))))
    return root


def test_metadata_csv_names_the_clips(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.wav", "b.wav")
    (tmp_path / "metadata.csv").write_text(
        'file_name,transcription,speaker_id\na.wav,"yes, please",anna\nb.wav,no,bert\n'
    )
    assert [(c.path, c.text, c.speaker, c.split) for c in audiofolder_clips(tmp_path)] == [
        ("a.wav", "yes, please", "anna", ""),
        ("b.wav", "no", "bert", ""),
    ]


def test_labels_need_no_transcript(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.wav", "b.wav")
    (tmp_path / "metadata.csv").write_text("file_name,label\na.wav,open valve\nb.wav,close door\n")
    assert [(clip.label, clip.text) for clip in audiofolder_clips(tmp_path)] == [("open valve", ""), ("close door", "")]


def test_splits_are_folders(tmp_path: Path) -> None:
    folder_with(tmp_path, "train/a.wav", "test/b.wav")
    for split, name in (("train", "a"), ("test", "b")):
        (tmp_path / split / "metadata.jsonl").write_text(f'{{"file_name": "{name}.wav", "text": "yes"}}\n')
    assert {clip.path: clip.split for clip in audiofolder_clips(tmp_path)} == {"a.wav": "train", "b.wav": "test"}


def test_audio_that_no_metadata_names_is_a_fault_of_its_own(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.wav", "stray.mp3")
    (tmp_path / "metadata.csv").write_text("file_name,text\na.wav,yes\n")
    stray = list(audiofolder_clips(tmp_path))[1]
    assert stray.fault is not None
    assert (stray.path, stray.fault.reason) == ("stray.mp3", "not_listed")


def test_a_row_that_breaks_utf8_is_that_clip_s_fault(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.wav", "b.wav")
    (tmp_path / "metadata.csv").write_bytes("file_name,text\na.wav,caf?\nb.wav,thé\n".encode().replace(b"?", b"\xe9"))
    assert [clip.fault.reason if clip.fault else "" for clip in audiofolder_clips(tmp_path)] == ["not_utf8", ""]


def test_every_fault_is_listed_with_its_line(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.wav")
    (tmp_path / "metadata.csv").write_text("file_name,text\na.wav,yes,no\n,lost\nc.wav,gone\na.wav\n../d.wav,out\n")
    with pytest.raises(IntakeError, match="5 fault") as caught:
        list(audiofolder_clips(tmp_path))
    assert [fault.split(":")[0] for fault in caught.value.faults] == [f"metadata.csv, line {n}" for n in range(2, 7)]


def test_broken_json_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_text('{broken\n[1]\n"a text"\n')
    with pytest.raises(
        IntakeError, match=r"line 1: not JSON[\s\S]*line 2: expected a JSON object[\s\S]*line 3: expected a JSON object"
    ):
        list(audiofolder_clips(tmp_path))


def test_a_folder_without_metadata_is_not_accepted(tmp_path: Path) -> None:
    assert not AUDIOFOLDER.accepts(folder_with(tmp_path, "a.wav"))
