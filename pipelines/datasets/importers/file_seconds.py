"""The length of a sound file by its header, without decoding; of plain WAV files without libsndfile."""

import struct
from pathlib import Path

from elp_core.audio import probe
from elp_core.errors import AudioError
from elp_core.types import Seconds

_HEAD = 4096
_LONGEST: Seconds = 1e6
"""Streamed files name no length, or an impossible one."""


def file_seconds(path: Path) -> Seconds | None:
    """Return how long a file lasts by its header, or None if that cannot be read or names no length."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        seconds = _wav_seconds(head)
        if seconds is None:
            seconds = probe(path).seconds
    except (AudioError, OSError, ZeroDivisionError):
        return None
    return seconds if 0 < seconds < _LONGEST else None


def _wav_seconds(head: bytes) -> Seconds | None:
    """Return the length of PCM or float WAV from its first bytes; None for any other file."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    position, bytes_per_second = 12, 0
    while position + 24 <= len(head):
        name, size = head[position : position + 4], struct.unpack_from("<I", head, position + 4)[0]
        if name == b"fmt ":
            tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", head, position + 8)
            bytes_per_second = rate * channels * ((bits + 7) // 8) if tag in (1, 3, 0xFFFE) else 0
        elif name == b"data":
            # what recorders write to a pipe instead of a size
            streamed = size == 0 or size >= 0x7FFFEF00
            return size / bytes_per_second if bytes_per_second and not streamed else None
        position += 8 + size + size % 2
    return None
