"""MP3: frames that each say their own size; the first one may carry their number (Xing, Info or VBRI)."""

import struct
from dataclasses import dataclass

from elp_core.containers.lengths import Buffer, FileLength
from elp_core.types import Seconds

_KBITS = {
    (True, 3): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates by MPEG 1 or later and by the layer's two bits (3 is layer I)."""
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_SEARCHED = 2**16
"""Bytes of padding before the first frame, and of anything between two frames, that are searched."""
_SLACK = 0.25
"""Seconds of delay and padding that a decoder may take off both ends."""


@dataclass(frozen=True)
class Uncounted:
    """An MP3 file in which no frame says how many there are: a decoder that guesses from the bit rate may be wrong."""

    start: int
    """Offset of the first frame."""
    samples: int
    """Samples in all frames."""
    seconds: Seconds
    number: bytes
    """A frame of the same kind that says how many there are (Xing); empty if no frame has room for it."""


def mp3_length(content: Buffer) -> FileLength | None:
    """Return the length of an MP3 file by the number in its first frame, and by its frames; None for other files."""
    start = _start(content)
    if start is None:
        return None
    sizes, per_frame, rate = _frame_sizes(content, start)
    claimed = _claimed_frames(content, start)
    frames, end = _walk(content, start, sizes)
    cut = ""
    if claimed is not None:
        # the frame with the number is not counted in it
        frames = max(frames - 1, 0)
    elif end < len(content) and content[end] == 0xFF and content[end : end + 2] == content[start : start + 2]:
        cut = "it ends inside a frame"
    header = None if claimed is None else claimed * per_frame / rate
    return FileLength(header, frames * per_frame / rate, cut, _SLACK)


def uncounted(content: Buffer) -> Uncounted | None:
    """Return the frames of an MP3 file that does not count them; None for one that does, and for other files."""
    start = _start(content)
    if start is None or _claimed_frames(content, start) is not None:
        return None
    sizes, per_frame, rate = _frame_sizes(content, start)
    # one at least: the first one was found
    frames = max(_walk(content, start, sizes)[0], 1)
    number = _number(bytes(content[start : start + 4]), sizes, frames, len(content) - start)
    return Uncounted(start, frames * per_frame, frames * per_frame / rate, number)


def _number(head: bytes, sizes: dict[int, int], frames: int, size: int) -> bytes:
    """Return a frame with the header of another one, at the lowest bit rate that has room for the number of frames."""
    mono, first = head[3] >> 6 == 3, head[1] >> 3 & 3 == 3
    # the number follows the header and the side information, whose length depends on version and channels
    place = 4 + ((17 if mono else 32) if first else (9 if mono else 17))
    step = head[2] & 0x0C
    third = next((code << 4 | step for code in range(1, 15) if sizes.get(code << 4 | step, 0) >= place + 16), None)
    if third is None or head[1] >> 1 & 3 != 1:
        return b""
    length = sizes[third]
    # its lowest bit set means that there is no checksum
    frame = bytes((head[0], head[1] | 1, third, head[3])) + bytes(place - 4)
    frame += b"Xing" + struct.pack(">III", 3, frames, size + length)
    return frame + bytes(length - len(frame))


def _start(content: Buffer) -> int | None:
    """Return the offset of the first frame; None if the file does not begin with one."""
    first = _after_tag(content)
    padded = min(first + _SEARCHED, len(content))
    while first < padded and content[first] == 0:
        first += 1
    # not further on: any bytes look like a frame somewhere
    return first if _find(content, first, None) == first else None


def _after_tag(content: Buffer) -> int:
    if content[:3] != b"ID3" or len(content) < 10:
        return 0
    size = 0
    for byte in content[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _find(content: Buffer, position: int, like: bytes | None) -> int | None:
    """Return the next frame from `position` on that a second one follows; `like` is a header of the same file."""
    end = min(position + _SEARCHED, len(content) - 4)
    while (position := content.find(b"\xff", position, max(end, 0))) >= 0:
        sizes = _frame_sizes(content, position)[0]
        same = like is None or (
            content[position + 1] & 0xFE == like[1] & 0xFE and not (content[position + 2] ^ like[2]) & 0x0C
        )
        size = sizes.get(content[position + 2], 0)
        after = position + size
        if (
            size
            and same
            and (after + 4 > len(content) or content[after : after + 2] == content[position : position + 2])
        ):
            return position
        position += 1
    return None


def _frame_sizes(content: Buffer, position: int) -> tuple[dict[int, int], int, int]:
    """Return the size of a frame by its third byte, samples a frame, and the rate; no sizes if no frame is there."""
    second, third = content[position + 1], content[position + 2]
    version, layer, step = second >> 3 & 3, second >> 1 & 3, third >> 2 & 3
    if second & 0xE0 != 0xE0 or version == 1 or layer == 0 or step == 3:
        return {}, 0, 1
    rate, first = _RATES[version][step], version == 3
    per_frame = 384 if layer == 3 else 1152 if layer == 2 or first else 576
    sizes = {}
    for code, kbits in enumerate(_KBITS[first, layer]):
        for padding in (0, 1):
            size = (
                (12_000 * kbits // rate + padding) * 4
                if layer == 3
                else per_frame // 8 * kbits * 1000 // rate + padding
            )
            for private in (0, 1) if kbits else ():
                sizes[code << 4 | step << 2 | padding << 1 | private] = size
    return sizes, per_frame, rate


def _claimed_frames(content: Buffer, start: int) -> int | None:
    """Return the number of frames that the first frame announces."""
    head = content[start : start + 200]
    for name in (b"Xing", b"Info"):
        at = head.find(name)
        if at >= 0 and at + 12 <= len(head) and head[at + 7] & 1:
            return int(struct.unpack_from(">I", head, at + 8)[0])
    if head[36:40] == b"VBRI" and len(head) >= 54:
        return int(struct.unpack_from(">I", head, 50)[0])
    return None


def _walk(content: Buffer, start: int, sizes: dict[int, int]) -> tuple[int, int]:
    """Return the number of whole frames from `start` on, and the offset after the last one."""
    frames, position, size = 0, start, len(content)
    like = bytes(content[start : start + 3])
    second = like[1] & 0xFE
    while position + 4 <= size:
        length = sizes.get(content[position + 2], 0)
        if not length or content[position] != 0xFF or content[position + 1] & 0xFE != second:
            found = _find(content, position + 1, like)
            if found is None:
                return frames, position
            position = found
        elif position + length > size:
            return frames, position
        else:
            frames, position = frames + 1, position + length
    return frames, position
