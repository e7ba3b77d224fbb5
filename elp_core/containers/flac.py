"""FLAC: the header says how many samples there are, and every frame says its number."""

from elp_core.containers.lengths import Buffer, FileLength

MAGIC = b"fLaC"
_SIZES = {
    1: 192,
    **{code: 576 << (code - 2) for code in range(2, 6)},
    **{code: 256 << (code - 8) for code in range(8, 16)},
}
_TOTAL = 2**36 - 1
_TAIL = 2**18
"""Bytes at the end of a file in which its last frame begins."""


def _crc8_table() -> bytes:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte << 1) ^ (0x107 if byte & 0x80 else 0)
        table.append(byte)
    return bytes(table)


_CRC8 = _crc8_table()


def flac_length(content: Buffer) -> FileLength | None:
    """Return the length of a FLAC file by STREAMINFO, and by the number of its last frame."""
    if len(content) < 42 or not (rate := int.from_bytes(content[18:21], "big") >> 4):
        return None
    total, held = int.from_bytes(content[21:26], "big") & _TOTAL, _samples_held(content)
    return FileLength(total / rate if total else None, None if held is None else held / rate)


def flac_patches(content: Buffer) -> tuple[tuple[int, bytes], ...]:
    """Return the field that a streamed FLAC file needs, whose header names no length: its offset and its bytes."""
    if len(content) < 42 or content[21] & 0x0F or any(content[22:26]) or not (held := _samples_held(content)):
        return ()
    return ((21, (content[21] << 32 | min(held, _TOTAL)).to_bytes(5, "big")),)


def _first_frame(content: Buffer) -> int | None:
    position, last = 4, False
    while not last and position + 4 <= len(content):
        last = bool(content[position] & 0x80)
        position += 4 + int.from_bytes(content[position + 1 : position + 4], "big")
    return position if position + 16 <= len(content) and _is_sync(content, position) else None


def _is_sync(content: Buffer, position: int) -> bool:
    return content[position] == 0xFF and content[position + 1] in (0xF8, 0xF9)


def _samples_held(content: Buffer) -> int | None:
    """Return the number of samples up to the end of the last frame that begins in the file."""
    first, block = _first_frame(content), int.from_bytes(content[10:12], "big")
    if first is None:
        return None
    sync, rate, bits = content[first : first + 2], content[first + 2] & 0x0F, content[first + 3] & 0x0F
    position = len(content)
    while (position := content.rfind(sync, max(first, len(content) - _TAIL), position)) >= 0:
        # the frames of a file share these fields: with the checksum, no other bytes look like a header
        same = content[position + 2 : position + 3] and content[position + 2] & 0x0F == rate
        same = same and position + 16 <= len(content) and content[position + 3] & 0x0F == bits
        if same and (end := _frame_end(content, position, block)) is not None:
            return end
        position += 1
        if position <= first:
            return None
    return None


def _frame_end(content: Buffer, position: int, block: int) -> int | None:
    """Return the number of the sample after the frame whose header is at `position`; None if none is there."""
    lead = content[position + 4]
    extra = 0 if lead < 0x80 else 8 - (lead ^ 0xFF).bit_length() - 1
    if lead >= 0x80 and not 1 <= extra <= 6:
        return None
    number = lead & (0x7F if not extra else 0x3F >> extra)
    for byte in content[position + 5 : position + 5 + extra]:
        number = number << 6 | byte & 0x3F
    end = position + 5 + extra
    code = content[position + 2] >> 4
    width = {6: 1, 7: 2}.get(code, 0)
    size = int.from_bytes(content[end : end + width], "big") + 1 if width else _SIZES.get(code, 0)
    end += width + {12: 1, 13: 2, 14: 2}.get(content[position + 2] & 0x0F, 0)
    check = 0
    for byte in content[position:end]:
        check = _CRC8[check ^ byte]
    if not size or end >= len(content) or check != content[end]:
        return None
    # frames of a fixed size are counted, those of different sizes have the number of their first sample
    return number * (1 if content[position + 1] & 1 else block) + size
