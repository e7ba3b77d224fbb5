"""Sound files as libsndfile can read them to their end: fields that a stream's writer left open are filled in."""

import io
from pathlib import Path
from typing import Any

from elp_core.containers import Buffer, content_of
from elp_core.containers.flac import MAGIC, flac_patches
from elp_core.containers.mp3 import uncounted
from elp_core.containers.riff import MAGICS, sample_chunk
from elp_core.containers.sized_blocks import W64, w64_patches
from elp_core.errors import AudioError


def readable_stream(source: Path | str | bytes) -> str | io.IOBase:
    """Return a path, or an open stream, from which libsndfile reads a sound file to its end.

    Raises:
        AudioError: `missing` or `empty` (no bytes).
    """
    if isinstance(source, bytes):
        if not source:
            raise AudioError("empty", "the audio has no bytes")
        return _Bytes(_patched(source, _patches(source)))
    path = Path(source)
    if not path.is_file():
        raise AudioError("missing", f"{source} does not exist or is not a file; check the path")
    if path.stat().st_size == 0:
        raise AudioError("empty", f"{source} has no bytes")
    with path.open("rb") as file:
        if file.read(4) not in (*MAGICS, MAGIC, W64[:4]):
            return str(source)
    with content_of(path) as content:
        patches = _patches(content)
    return _PatchedFile(path, patches) if patches else str(source)


def counted_stream(source: Path | str | bytes, samples: int) -> io.IOBase | None:
    """Return an MP3 file with the number of its frames before them, if libsndfile would stop after so many `samples`.

    libsndfile guesses the length of a file that does not name it from the first bit rate, and reads no further.
    """
    with content_of(source) as content:
        found = uncounted(content)
    if found is None or not found.number or samples >= found.samples - found.samples / found.seconds / 10:
        # up to a tenth of a second is padding
        return None
    if isinstance(source, bytes):
        return _Bytes(found.number + source[found.start :])
    return _HeadedFile(Path(source), found.start, found.number)


def _patches(content: Buffer) -> tuple[tuple[int, bytes], ...]:
    if content[:4] == MAGIC:
        return flac_patches(content)
    if content[:4] == W64[:4]:
        return w64_patches(content)
    found = sample_chunk(content) if content[:4] in MAGICS else None
    return found.patches if found else ()


def _patched(content: bytes, patches: tuple[tuple[int, bytes], ...], start: int = 0) -> bytes:
    """Return a part of a file, which begins at `start`, with the patches that are inside it."""
    for offset, new in patches:
        first, last = max(offset - start, 0), min(offset - start + len(new), len(content))
        if first < last:
            skipped = first - (offset - start)
            content = content[:first] + new[skipped : skipped + last - first] + content[last:]
    return content


class _Bytes(io.BytesIO):
    """Bytes as a file in which a decoder may seek to places before the first byte, as it does at a damaged header."""

    def seek(self, offset: int, whence: int = 0) -> int:
        # an exception would be printed: it cannot pass the decoder, which is not Python
        return super().seek(max(offset, 0) if whence == 0 else offset, whence)


class _HeadedFile(io.RawIOBase):
    """A file from an offset on, with other bytes before it."""

    def __init__(self, path: Path, start: int, head: bytes) -> None:
        self._file, self._start, self._head, self._place = path.open("rb"), start, head, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 2:
            offset += self._file.seek(0, 2) - self._start + len(self._head)
        self._place = max(offset + self._place if whence == 1 else offset, 0)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        content = self._head[self._place : self._place + len(buffer)]
        if not content:
            self._file.seek(self._place - len(self._head) + self._start)
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


class _PatchedFile(io.RawIOBase):
    """A file with some of its bytes replaced as they are read."""

    def __init__(self, path: Path, patches: tuple[tuple[int, bytes], ...]) -> None:
        self._file, self._patches = path.open("rb"), patches

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(max(offset, 0) if whence == 0 else offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        start = self._file.tell()
        content = _patched(self._file.read(len(buffer)), self._patches, start)
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()
