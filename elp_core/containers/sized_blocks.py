"""Wave64, CAF, VOC and MATLAB: blocks with a size each, one or several of which hold the samples."""

import struct
from collections.abc import Iterator

from elp_core.containers.lengths import Buffer, FileLength, length_by_bytes
from elp_core.containers.riff import wav_bytes_per_second

W64, CAF, VOC, MAT5 = b"riff\x2e\x91\xcf\x11", b"caff", b"Creative Voice File\x1a", b"MATLAB 5.0 MAT-file"
_W64_HEADER, _W64_BLOCK = 40, 24
"""Names of Wave64 are GUIDs of 16 bytes; a block's size of 8 bytes counts both."""
_STREAMED = 2**62
_MAT4_BYTES = {0: 8, 1: 4, 2: 4, 3: 2, 4: 2, 5: 1}
_VOC_SOUND = (1, 2, 9)


def w64_length(content: Buffer) -> FileLength | None:
    """Return the length of a Wave64 file of Sonic Foundry; a streamed one names none."""
    per_second = 0.0
    for name, position, length in _w64_blocks(content):
        body = position + _W64_BLOCK
        if name == b"fmt " and body + 16 <= len(content):
            per_second, _ = wav_bytes_per_second(content, body, "<")
        elif name == b"data":
            claimed = length - _W64_BLOCK
            return _in_block(content, body, claimed if 0 < claimed < _STREAMED else None, per_second, aligned=8)
    return None


def w64_patches(content: Buffer) -> tuple[tuple[int, bytes], ...]:
    """Return the fields that a streamed Wave64 file needs, each with its offset."""
    for name, position, length in _w64_blocks(content):
        if name == b"data" and not _W64_BLOCK < length < _STREAMED:
            size = len(content)
            return ((16, struct.pack("<Q", size)), (position + 16, struct.pack("<Q", size - position)))
    return ()


def _w64_blocks(content: Buffer) -> Iterator[tuple[bytes, int, int]]:
    """Yield the first letters of each block's name, its offset, and its size by its header."""
    position = _W64_HEADER
    while position + _W64_BLOCK <= len(content):
        name, length = content[position : position + 4], struct.unpack_from("<Q", content, position + 16)[0]
        yield name, position, length
        if length < _W64_BLOCK:
            return
        position += (length + 7) // 8 * 8


def caf_length(content: Buffer) -> FileLength | None:
    """Return the length of a Core Audio file; of packets of several sizes, whether it was cut off."""
    position, size, per_second = 8, len(content), 0.0
    while position + 12 <= size:
        name, length = content[position : position + 4], struct.unpack_from(">q", content, position + 4)[0]
        body = position + 12
        if name == b"desc" and body + 32 <= size:
            rate, _, _, packet, frames = struct.unpack_from(">d4sIII", content, body)
            per_second = rate * packet / frames if frames and 0 < rate < 1e7 else 0.0
        elif name == b"data":
            # it begins with the number of its edits; -1 is the size of a streamed file
            return _in_block(content, body + 4, length - 4 if length >= 4 else None, per_second, aligned=1)
        if length < 0:
            return None
        position = body + length
    return None


def voc_length(content: Buffer) -> FileLength | None:
    """Return whether a VOC file of Creative Labs was cut off: its blocks say more bytes than it has."""
    if len(content) < 26:
        return None
    position, size, claimed, held = struct.unpack_from("<H", content, 20)[0], len(content), 0, 0
    while position + 4 <= size and content[position]:
        length = int.from_bytes(content[position + 1 : position + 4], "little")
        if content[position] in _VOC_SOUND:
            claimed, held = claimed + length, held + min(length, size - position - 4)
        position += 4 + length
    return length_by_bytes(claimed, held, 0.0)


def mat5_length(content: Buffer) -> FileLength | None:
    """Return whether a MATLAB 5 file was cut off: its last matrix has more bytes than the file."""
    order = ">" if content[126:128] == b"MI" else "<"
    position, size = 128, len(content)
    claimed = held = 0
    while position + 8 <= size:
        length = struct.unpack_from(order + "I", content, position + 4)[0]
        claimed, held = length, min(length, size - position - 8)
        position += 8 + (length + 7) // 8 * 8
    return length_by_bytes(claimed, held, 0.0)


def is_mat4(content: Buffer) -> bool:
    """Return whether a file is one of MATLAB 4 with a sampling rate; such files have no mark of their own."""
    return content[20:31] == b"samplerate\0"


def mat4_length(content: Buffer) -> FileLength | None:
    """Return whether a MATLAB 4 file was cut off."""
    order, position, size = "<" if content[16:20] == b"\x0b\0\0\0" else ">", 0, len(content)
    claimed = held = 0
    while position + 20 <= size:
        kind, rows, columns, imaginary, name = struct.unpack_from(order + "5I", content, position)
        width = _MAT4_BYTES.get(kind // 10 % 10, 0) * (2 if imaginary else 1)
        body = position + 20 + name
        claimed, held = rows * columns * width, max(min(rows * columns * width, size - body), 0)
        position = body + claimed
    return length_by_bytes(claimed, held, 0.0)


def _in_block(content: Buffer, body: int, claimed: int | None, per_second: float, *, aligned: int) -> FileLength:
    rest = max(len(content) - body, 0)
    if claimed is None:
        return length_by_bytes(None, rest, per_second)
    after = body + (claimed + aligned - 1) // aligned * aligned
    # other blocks may follow the samples: letters and digits name them
    named = all(32 <= letter < 127 for letter in content[after : after + 4])
    return length_by_bytes(claimed, min(claimed, rest) if named else rest, per_second)
