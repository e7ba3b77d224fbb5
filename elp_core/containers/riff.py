"""WAV, RF64, AIFF and 8SVX: chunks with a name and a size, one of which holds the samples."""

import math
import struct
from dataclasses import dataclass

from elp_core.containers.lengths import Buffer, FileLength, length_by_bytes
from elp_core.types import Seconds

MAGICS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM")
_DATA = (b"data", b"SSND", b"BODY")
_PLAIN = (1, 3, 6, 7, 0xFFFE)
"""Format tags of WAV with a fixed number of bytes a sample: PCM, float, A-law, µ-law, extensible."""
_PLAIN_AIFF = (b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64", b"alaw", b"ulaw", b"in24", b"in32")
_WHOLE = 0xFFFFFFFF


@dataclass(frozen=True)
class SampleChunk:
    """The chunk that holds the samples."""

    claimed: int | None
    """Bytes by its size field; None if the file was streamed, so that its writer never came back to fill it in."""
    held: int
    """Bytes of samples that the file holds."""
    bytes_per_second: float
    """0.0 if it is not known."""
    plain: bool
    """Whether each sample has the same number of bytes: the sound is not compressed."""
    patches: tuple[tuple[int, bytes], ...]
    """Offset and bytes of the fields that a streamed file needs, so that a decoder reads it to its end."""


def sample_chunk(content: Buffer) -> SampleChunk | None:
    """Return the chunk with the samples; None if there is none."""
    magic, size = content[:4], len(content)
    order = ">" if magic in (b"RIFX", b"FORM") else "<"
    position, rate, plain, large = 12, 0.0, False, 0
    while position + 8 <= size:
        name, length = content[position : position + 4], struct.unpack_from(order + "I", content, position + 4)[0]
        body = position + 8
        if name == b"ds64" and body + 24 <= size:
            large = body
        elif name == b"fmt " and body + 16 <= size:
            rate, plain = wav_bytes_per_second(content, body, order)
        elif name == b"COMM" and body + 18 <= size:
            rate = _aiff_bytes_per_second(content, body, length)
            plain = bool(rate)
        elif name == b"VHDR" and body + 16 <= size:
            # of IFF/8SVX: one channel, 8 bits a sample, or 16 in the variant 16SV
            rate = struct.unpack_from(">H", content, body + 12)[0] * (2.0 if content[8:12] == b"16SV" else 1.0)
        elif name in _DATA:
            return _samples(content, position, length, order, (rate, plain), large)
        position = body + length + length % 2
    return None


def riff_length(content: Buffer) -> FileLength | None:
    """Return the length of a WAV, RF64, AIFF or 8SVX file by its header and by its bytes."""
    found = sample_chunk(content)
    return length_by_bytes(found.claimed, found.held, found.bytes_per_second) if found else None


def _samples(
    content: Buffer, position: int, length: int, order: str, rate: tuple[float, bool], large: int
) -> SampleChunk:
    body, size = position + 8, len(content)
    patches = [(4, struct.pack(order + "I", min(size - 8, _WHOLE)))]
    if large and length == _WHOLE:
        length = struct.unpack_from("<Q", content, large + 8)[0]
        streamed = length in (0, 2**64 - 1) or length >= 2**62
        values = struct.pack("<QQ", size - 8, max(size - body, 0))
        patches = [(large, values)]
    else:
        # ffmpeg writes 0xFFFFFFFF and sox 0x7FFFF000 to a pipe, arecord about 0x80000000, others 0
        streamed = length == 0 or length >= 0xFFFFFF00 or 0x7FFFEF00 <= length <= 0x80000000
        streamed = streamed and (not length or body + length > size)
        patches.append((position + 4, struct.pack(order + "I", min(size - body, _WHOLE))))
    if length == 0 or not streamed:
        end = min(body + length, size)
        extra = _unnamed(content, end + length % 2 if end < size else end, order)
        if length == 0 and not extra:
            # an empty chunk that other chunks follow, or nothing
            return SampleChunk(0, 0, *rate, ())
        if not streamed:
            return SampleChunk(length, end - body + extra, *rate, ())
    return SampleChunk(None, max(size - body, 0), *rate, tuple(patches))


def _unnamed(content: Buffer, position: int, order: str) -> int:
    """Return the number of bytes from `position` on that belong to no chunk other than further samples."""
    samples, size = 0, len(content)
    while position + 8 <= size:
        name, length = content[position : position + 4], struct.unpack_from(order + "I", content, position + 4)[0]
        # letters, digits and blanks: samples that look like this are rarer than wrong names
        if not (all(32 <= letter < 127 for letter in name) and position + 8 + length <= size):
            return samples + size - position
        samples += length if name in _DATA else 0
        position += 8 + length + length % 2
    return samples + max(size - position, 0)


def plain_samples(content: Buffer) -> SampleChunk | None:
    """Return the chunk of a file with plain samples, each of which is some of its bytes; None for any other file.

    To decode such a file takes as much time and memory as its size explains.
    """
    found = sample_chunk(content) if content[:4] in MAGICS else None
    return found if found and found.plain and found.bytes_per_second else None


def plain_seconds(content: Buffer) -> Seconds | None:
    """Return the length that the header of a file with plain samples names; None for any other file."""
    found = plain_samples(content)
    return found.claimed / found.bytes_per_second if found and found.claimed is not None else None


def wav_bytes_per_second(content: Buffer, body: int, order: str) -> tuple[float, bool]:
    """Return the bytes of a second by the format block of WAV or Wave64 at `body`, and whether samples are plain."""
    tag, channels, rate, average, _, bits = struct.unpack_from(order + "HHIIHH", content, body)
    return float(rate * channels * ((bits + 7) // 8) if tag in _PLAIN else average), tag in _PLAIN


def _aiff_bytes_per_second(content: Buffer, body: int, length: int) -> float:
    channels, _, bits, exponent, mantissa = struct.unpack_from(">HIHHQ", content, body)
    if length >= 22 and content[body + 18 : body + 22] not in _PLAIN_AIFF:
        return 0.0
    # an 80-bit float of the x87
    rate = math.ldexp(float(mantissa), max(min((exponent & 0x7FFF) - 16383 - 63, 0), -63))
    return float(rate * channels * ((bits + 7) // 8))
