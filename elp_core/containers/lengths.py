"""The length of a sound file by its header and by its bytes."""

import contextlib
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elp_core.media import is_media
from elp_core.types import Seconds

Buffer = bytes | mmap.mmap


@dataclass(frozen=True)
class FileLength:
    """Two answers to the question how long a file lasts; they agree unless it was cut off or altered."""

    header: Seconds | None
    """By the header; None if it says nothing, as in a streamed file."""
    content: Seconds | None
    """By the bytes of the file; None if only the decoder knows."""
    cut: str = ""
    """How the file ends inside a block, if it does."""
    slack: Seconds = 0.0
    """By how much decoders make the sound shorter than both, such as the padding of MP3."""


@contextlib.contextmanager
def content_of(source: Path | str | bytes) -> Iterator[Buffer]:
    """Give the bytes of a file, mapped instead of read; an empty file has none."""
    if isinstance(source, bytes):
        yield source
        return
    with Path(source).open("rb") as file:
        if file.seek(0, 2) == 0:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content


def file_length(content: Buffer) -> FileLength | None:
    """Return the length of a file by its header and by its bytes; None for a container that is not examined."""
    from elp_core.containers import flac, mp3, ogg, riff

    magic = content[:4]
    if magic in riff.MAGICS and content[8:11] != b"AVI":
        return riff.riff_length(content)
    if magic == flac.MAGIC:
        return flac.flac_length(content)
    if magic == ogg.MAGIC:
        return ogg.ogg_length(content)
    # before MP3, whose short marks occur in any of them
    return None if is_media(content[:512]) else mp3.mp3_length(content)
