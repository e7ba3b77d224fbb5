"""The lines of a text file, plain or packed by gzip, one after the other: a small file can unpack to any size."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from pipelines.datasets.importers.manifest_text import MAX_BYTES
from pipelines.errors import IntakeError

LONGEST_LINE = 2**24
"""Bytes of one line; the longest lines are those of cuts with many supervisions."""
_BOM = b"\xef\xbb\xbf"


def packed_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that are not blank, with their numbers; one that ends in ``.gz`` is unpacked.

    Raise IntakeError for a file that cannot be read, for a line of more than `LONGEST_LINE` bytes, and when more than
    `MAX_BYTES` were read.
    """
    size, number = 0, 0
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            while line := file.readline(LONGEST_LINE + 1):
                size, number = size + len(line), number + 1
                if len(line) > LONGEST_LINE:
                    raise IntakeError(
                        f"{path}, line {number}: it has more than {LONGEST_LINE // 2**20} MiB, expected one clip"
                    )
                if size > MAX_BYTES:
                    raise IntakeError(
                        f"{path} unpacks to more than {MAX_BYTES // 2**20} MiB; a manifest is text, one line a clip"
                    )
                line = line.removeprefix(_BOM) if number == 1 else line
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise IntakeError(f"{path} cannot be read ({error}); write it again") from error
