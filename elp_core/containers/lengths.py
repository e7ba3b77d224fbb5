"""The length of a sound file by its header and by its bytes."""

import contextlib
import itertools
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from elp_core.errors import AudioError
from elp_core.media import is_media
from elp_core.types import Seconds

Buffer = bytes | mmap.mmap
TOLERANCE_SECONDS: Seconds = 0.1
TOLERANCE_SHARE = 0.02
"""Two lengths of a file disagree if they differ by more than both."""


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
    from elp_core.containers import fixed_headers, flac, mp3, ogg, riff, sized_blocks

    magic = content[:4]
    if magic in riff.MAGICS and content[8:11] != b"AVI":
        return riff.riff_length(content)
    if magic == flac.MAGIC:
        return flac.flac_length(content)
    if magic == ogg.MAGIC:
        return ogg.ogg_length(content)
    others: tuple[tuple[tuple[bytes, ...], Callable[[Buffer], FileLength | None]], ...] = (
        ((fixed_headers.AU, fixed_headers.AU_LITTLE), fixed_headers.au_length),
        ((fixed_headers.NIST,), fixed_headers.nist_length),
        ((fixed_headers.AVR,), fixed_headers.avr_length),
        ((fixed_headers.MPC2K,), fixed_headers.mpc2k_length),
        ((fixed_headers.PSION,), fixed_headers.psion_length),
        ((sized_blocks.W64,), sized_blocks.w64_length),
        ((sized_blocks.CAF,), sized_blocks.caf_length),
        ((sized_blocks.VOC,), sized_blocks.voc_length),
        ((sized_blocks.MAT5,), sized_blocks.mat5_length),
    )
    head = content[:32]
    for marks, length in others:
        if head.startswith(marks):
            return length(content)
    if sized_blocks.is_mat4(content):
        return sized_blocks.mat4_length(content)
    # before MP3, whose short marks occur in any of them
    return None if is_media(content[:512]) else mp3.mp3_length(content)


def length_by_bytes(claimed: int | None, held: int, bytes_per_second: float) -> FileLength:
    """Return the length of a file that says `claimed` bytes of samples (None: nothing) and holds `held`.

    If the bytes of a second are not known (0.0), as of compressed sound, only a file that was cut off is recognised.
    """
    if bytes_per_second:
        return FileLength(None if claimed is None else claimed / bytes_per_second, held / bytes_per_second)
    lost = (claimed or 0) - held > TOLERANCE_SHARE * (claimed or 0)
    return FileLength(None, None, f"it holds {held:,} of {claimed:,} bytes of sound" if claimed and lost else "")


def lengths_differ(one: Seconds, other: Seconds) -> bool:
    """Return whether two lengths of a file disagree."""
    apart = abs(one - other)
    return apart > TOLERANCE_SECONDS and apart > TOLERANCE_SHARE * max(one, other)


def require_one_length(
    name: str, length: FileLength | None, decoded: Seconds | None = None, declared: Seconds | None = None
) -> None:
    """Refuse a file `name` if its header, bytes, decoded sound (None: not known yet) and declared length disagree.

    Raises:
        AudioError: `cut_off` or `wrong_length`.
    """
    found = length or FileLength(None, None)
    if found.cut:
        raise AudioError("cut_off", f"{name} was cut off: {found.cut}; copy it again")
    says = {"its header says": found.header, "its bytes hold": found.content}
    if decoded is not None:
        # decoders leave out what the encoder padded
        slack = {claim: min(found.slack, max(0.0, seconds - decoded)) for claim, seconds in says.items() if seconds}
        says = {claim: seconds and seconds - slack[claim] for claim, seconds in says.items()}
        says |= {"it decodes to": decoded, "the delivery says": declared}
    known = {claim: seconds for claim, seconds in says.items() if seconds is not None}
    if any(lengths_differ(one, other) for one, other in itertools.combinations(known.values(), 2)):
        claims = ", ".join(f"{claim} {seconds:.2f} s" for claim, seconds in known.items())
        raise AudioError("wrong_length", f"{name} is not what it says: {claims}; copy or export it again")
