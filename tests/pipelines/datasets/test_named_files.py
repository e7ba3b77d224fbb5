from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from pipelines.datasets.importers.named_files import NamedFiles
from pipelines.datasets.importers.nemo import nemo_clips
from pipelines.errors import IntakeError
from tests.support.deliveries import write_delivery, write_manifest

NFD = unicodedata.normalize("NFD", "Zoë")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with some files whose names are no problem, and some whose names are."""
    for name in ("audio/a.wav", f"audio/{NFD}.wav", "audio/Two.WAV", "audio/case.wav", "audio/CASE.wav", "b\\c.wav"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"RIFF")
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("audio/a.wav", "audio/a.wav"),
        (".\\audio\\a.wav", "audio/a.wav"),
        ("audio//./a.wav ", "audio/a.wav"),
        ("\u00a0audio/a.wav", "audio/a.wav"),
        ("audio/Zoë.wav", f"audio/{NFD}.wav"),
        ("AUDIO\\two.wav", "audio/Two.WAV"),
        ("audio/case.wav", "audio/case.wav"),
        ("audio/../audio/a.wav", "audio/a.wav"),
        ("b\\c.wav", "b\\c.wav"),
    ],
)
def test_a_file_is_found_under_every_spelling(folder: Path, name: str, found: str) -> None:
    assert NamedFiles(folder).find(name) == folder / found


def test_a_file_is_found_by_its_whole_path_and_by_the_home_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    files = NamedFiles(folder)
    assert files.find("~/in/audio/a.wav") == files.find(f"{folder}/audio/a.wav") == folder / "audio" / "a.wav"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("audio/Case.wav", "is one of CASE.wav, case.wav; write its exact name"),
        ("audio/none.wav", "the file audio/none.wav does not exist"),
        ("audio", "the file audio does not exist"),
        ("../a.wav", "is outside"),
        ("/etc/hostname", "is outside"),
        ("C:\\data\\a.wav", "is a path of a Windows computer"),
        ("\\\\server\\data\\a.wav", "is a path of a Windows computer"),
        ("a\0.wav", "cannot be opened: "),
        ("x" * 5000, "cannot be opened: "),
        ("~no-such-user/a.wav", "cannot be opened: "),
        ("loop.wav", ""),
        ("\ud800.wav", ""),
    ],
)
def test_what_is_not_there_is_a_sentence(folder: Path, name: str, says: str) -> None:
    (folder / "loop.wav").symlink_to("loop.wav")
    found = NamedFiles(folder).find(name)
    assert isinstance(found, str)
    assert says in found
    assert len(found) < 600


def test_a_cause_that_all_lines_share_is_one_sentence(tmp_path: Path) -> None:
    write_delivery(tmp_path, each=3)
    rows = [{"audio_filepath": f"D:\\audio\\{name}_{take}.wav"} for name in ("anna", "bert") for take in range(3)]
    manifest = write_manifest(tmp_path, [*rows, {"audio_filepath": "gone.wav"}])
    with pytest.raises(IntakeError, match="7 faults") as caught:
        list(nemo_clips(manifest))
    assert caught.value.faults == (
        "manifest.jsonl, line 1: D:\\audio\\anna_0.wav is a path of a Windows computer; make it relative to the "
        "manifest's folder (and 5 more lines like it)",
        "manifest.jsonl, line 7: the file gone.wav does not exist",
    )
