from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from pipelines.datasets.importers.fsdd import fsdd_clips, recording_clip
from pipelines.errors import IntakeError
from tests.support.clips import voice, wav

NAMES = ("3_theo_0.wav", "3_theo_7.wav", "9_nicolas_12.wav")


def archive(path: Path, names: tuple[str, ...] = NAMES) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            content = wav(voice(0.3, 300, len(name)))
            member = tarfile.TarInfo(f"recordings/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("take", "split"), [(0, "test"), (4, "test"), (5, "validation"), (9, "validation"), (10, "train")]
)
def test_the_take_decides_the_split(take: int, split: str) -> None:
    clip = recording_clip(f"recordings/7_jackson_{take}.wav", b"")
    assert (clip.split, clip.text, clip.label, clip.speaker) == (split, "seven", "seven", "jackson")


@pytest.mark.parametrize("name", ["seven_theo_1.wav", "7_theo.wav", "7-theo-1.wav", "77_theo_1.wav", "7_theo_100.wav"])
def test_a_wrong_name_is_a_fault(name: str) -> None:
    fault = recording_clip(name, b"").fault
    assert fault is not None
    assert fault.reason == "misnamed"


def test_a_folder_and_its_archive_hold_the_same_clips(tmp_path: Path) -> None:
    source = archive(tmp_path / "fsdd.tar.gz")
    with tarfile.open(source) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(tmp_path / "fsdd")
    packed = {(c.path, c.text, c.audio) for c in fsdd_clips(source)}
    loose = {(c.path, c.text, c.audio.read_bytes()) for c in fsdd_clips(tmp_path / "fsdd") if isinstance(c.audio, Path)}
    assert packed == loose
    assert len(packed) == 3


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    source = archive(tmp_path / "fsdd.tar.gz")
    source.write_bytes(source.read_bytes()[:500])
    with pytest.raises(IntakeError, match="not a complete tar archive"):
        list(fsdd_clips(source))


def test_an_archive_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="holds no recording"):
        list(fsdd_clips(archive(tmp_path / "fsdd.tar.gz", ())))
