"""AU, NIST SPHERE, AVR, MPC 2000 and Psion: a header that says how many bytes or samples follow it."""

import re
import struct

from elp_core.containers.lengths import Buffer, FileLength, length_by_bytes

AU, NIST, AVR, MPC2K, PSION = b".snd", b"NIST", b"2BIT", b"\x01\x04", b"ALawSoundFile**"
AU_LITTLE = b"dns."
_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
"""Bytes of a sample by encoding; the other ones are compressed."""
_UNKNOWN = 0xFFFFFFFF
_NIST_FIELD = re.compile(rb"^(\w+) -(?:i|s\d+) (\S+)", re.MULTILINE)
_NIST_HEADER = 2**16
_AVR_HEADER, _MPC2K_HEADER, _PSION_HEADER, _PSION_RATE = 128, 42, 32, 8_000


def au_length(content: Buffer) -> FileLength | None:
    """Return the length of a Sun/NeXT AU file, in either byte order; a streamed one names none."""
    if len(content) < 24:
        return None
    order = "<" if content[:4] == AU_LITTLE else ">"
    start, size, encoding, rate, channels = struct.unpack_from(order + "5I", content, 4)
    per_second = rate * channels * _AU_BYTES.get(encoding, 0)
    return length_by_bytes(None if size == _UNKNOWN else size, max(len(content) - start, 0), per_second)


def nist_length(content: Buffer) -> FileLength | None:
    """Return the length of a NIST SPHERE file by the fields of its header, which are text."""
    size = content[8:16].strip()
    if not size.isdigit() or not 16 <= int(size) <= _NIST_HEADER:
        return None
    found = dict(_NIST_FIELD.findall(content[: int(size)]))
    numbers = [found.get(name, b"") for name in (b"sample_count", b"channel_count", b"sample_n_bytes", b"sample_rate")]
    if not all(number.isdigit() for number in numbers[1:]):
        return None
    channels, width, rate = (int(number[:9]) for number in numbers[1:])
    claimed = int(numbers[0][:15]) * channels * width if numbers[0].isdigit() else None
    # samples that are packed (shorten) have fewer bytes, and libsndfile does not read them
    plain = b"," not in found.get(b"sample_coding", b"")
    return length_by_bytes(claimed, max(len(content) - int(size), 0), rate * channels * width) if plain else None


def avr_length(content: Buffer) -> FileLength | None:
    """Return the length of an Audio Visual Research file."""
    if len(content) < _AVR_HEADER:
        return None
    stereo, bits = struct.unpack_from(">HH", content, 12)
    rate, frames = struct.unpack_from(">II", content, 22)
    width = (2 if stereo else 1) * ((bits + 7) // 8)
    return length_by_bytes(frames * width, len(content) - _AVR_HEADER, rate * width)


def mpc2k_length(content: Buffer) -> FileLength | None:
    """Return the length of a sample of the Akai MPC 2000."""
    if len(content) < _MPC2K_HEADER:
        return None
    width = 4 if content[21] else 2
    frames, rate = struct.unpack_from("<I", content, 30)[0], struct.unpack_from("<H", content, 40)[0]
    return length_by_bytes(frames * width, len(content) - _MPC2K_HEADER, rate * width)


def psion_length(content: Buffer) -> FileLength | None:
    """Return the length of a Psion A-law file."""
    if len(content) < _PSION_HEADER:
        return None
    claimed = struct.unpack_from(">I", content, 18)[0]
    return length_by_bytes(claimed, len(content) - _PSION_HEADER, _PSION_RATE)
