"""The Free Spoken Digit Dataset (Jakobovski/free-spoken-digit-dataset), as a folder or a tar archive.

Recordings are named ``{digit}_{speaker}_{take}.wav``. Takes 0 to 4 of each speaker and digit are the published test
split; of the published training takes, 5 to 9 are held out here for validation. Speakers are shared by all splits.
The digit's word is the transcript, and the label (the intent of SIC).
"""

import lzma
import re
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from elp_core.types import Split
from pipelines.datasets.delivery import ClipFault, Importer, SourceClip
from pipelines.datasets.importers.manifest_text import printable
from pipelines.errors import IntakeError

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NAME = re.compile(r"([0-9])_([a-z]+)_([0-9]{1,2})\.wav")
_TEST_TAKES = range(0, 5)
_VALIDATION_TAKES = range(5, 10)
_FOLDER = "recordings"
_MOST_BYTES = 2**26
"""Of one recording in an archive, which is read as a whole."""
_DAMAGED = (
    *(tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, ValueError, TypeError, LookupError, OverflowError),
)
"""What the standard library raises for archives that are cut off or altered: its readers check little."""


def fsdd_clips(source: Path) -> Iterator[SourceClip]:
    """Yield the clips of the folder (sorted by name) or the archive (in its order); a wrong name is a fault."""
    found = 0
    for name, audio in _archive(source) if source.is_file() else _folder(source):
        found += 1
        yield recording_clip(name, audio)
    if not found:
        raise IntakeError(f"{source} holds no recording; expected {FSDD.expects}")


def recording_clip(name: str, audio: Path | bytes) -> SourceClip:
    """Return the clip that a recording's name describes."""
    match = _NAME.fullmatch(PurePosixPath(name).name)
    if not match:
        fault = ClipFault("misnamed", "expected {digit}_{speaker}_{take}.wav, such as 7_theo_12.wav")
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
        # as a stream, because random access to a compressed archive decompresses it again and again
        with tarfile.open(source, "r|*") as archive:
            for member in archive:
                opened = archive.extractfile(member) if member.isfile() and member.name.endswith(".wav") else None
                if opened and member.size > _MOST_BYTES:
                    raise IntakeError(
                        f"{source}: {printable(member.name)} has more than {_MOST_BYTES // 2**20} MiB, "
                        "expected a recording of one digit; a packed archive can unpack to any size"
                    )
                if opened:
                    yield member.name, opened.read()
    except _DAMAGED as error:
        raise IntakeError(f"{source} is not a complete tar archive: {error}; download it again") from error


def _accepts(source: Path) -> bool:
    if source.is_file():
        return any(source.name.endswith(suffix) for suffix in (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))
    return (source / _FOLDER).is_dir() or any(_NAME.fullmatch(path.name) for path in source.glob("*.wav"))


FSDD = Importer(
    name="fsdd",
    expects="the FSDD folder, its recordings/ folder or a tar archive of it ({digit}_{speaker}_{take}.wav)",
    accepts=_accepts,
    read=fsdd_clips,
)
