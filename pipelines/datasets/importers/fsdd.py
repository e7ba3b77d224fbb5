"""The Free Spoken Digit Dataset (Jakobovski/free-spoken-digit-dataset), as a folder or a tar archive.

Recordings are named ``{digit}_{speaker}_{take}.wav``. Takes 0 to 4 of each speaker and digit are the published test
split; of the published training takes, 5 to 9 are held out here for validation. Speakers are shared by all splits.
The digit's word is the transcript, and the label (the intent of SIC).
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from elp_core.types import Split
from pipelines.datasets.source_clip import Fault, Importer, SourceClip
from pipelines.errors import IntakeError

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NAME = re.compile(r"([0-9])_([a-z]+)_([0-9]{1,2})\.wav")
_TEST_TAKES = range(0, 5)
_VALIDATION_TAKES = range(5, 10)
_FOLDER = "recordings"


def read(source: Path) -> Iterator[SourceClip]:
    """Clips of the folder (sorted by name) or the archive (in its order); wrongly named files come as faults.

    Raises:
        IntakeError: where the archive is broken or holds no recording.
    """
    found = 0
    for name, audio in _archive(source) if source.is_file() else _folder(source):
        found += 1
        yield describe(name, audio)
    if not found:
        raise IntakeError(f"{source} holds no recording; expected {IMPORTER.expects}")


def describe(name: str, audio: Path | bytes) -> SourceClip:
    """What a recording's name says of it."""
    match = _NAME.fullmatch(PurePosixPath(name).name)
    if not match:
        fault = Fault("misnamed", "expected {digit}_{speaker}_{take}.wav, such as 7_theo_12.wav")
        return SourceClip(name, audio, fault=fault)
    digit, speaker, take = int(match[1]), match[2], int(match[3])
    held_out: Split = "validation" if take in _VALIDATION_TAKES else "train"
    return SourceClip(
        path=name,
        audio=audio,
        text=DIGITS[digit],
        speaker=speaker,
        label=DIGITS[digit],
        split="test" if take in _TEST_TAKES else held_out,
        condition="clean",
    )


def _folder(source: Path) -> Iterator[tuple[str, Path]]:
    folder = source / _FOLDER if (source / _FOLDER).is_dir() else source
    for path in sorted(folder.glob("*.wav")):
        yield path.relative_to(source).as_posix(), path


def _archive(source: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(source, "r|*") as archive:
            for member in archive:
                opened = archive.extractfile(member) if member.isfile() and member.name.endswith(".wav") else None
                if opened:
                    yield member.name, opened.read()
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise IntakeError(f"{source} is no whole tar archive: {error}; fetch it again") from error


def _accepts(source: Path) -> bool:
    if source.is_file():
        return any(source.name.endswith(suffix) for suffix in (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))
    return (source / _FOLDER).is_dir() or any(_NAME.fullmatch(path.name) for path in source.glob("*.wav"))


IMPORTER = Importer(
    name="fsdd",
    expects="the FSDD folder, its recordings/ folder or a tar archive of it ({digit}_{speaker}_{take}.wav)",
    accepts=_accepts,
    read=read,
)
