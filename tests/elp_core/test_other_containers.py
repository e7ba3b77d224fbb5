"""Every container that libsndfile opens and whose header says how much sound follows: whole, cut off, streamed."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elp_core.audio import load, load_info
from elp_core.containers import file_length, require_one_length
from elp_core.errors import AudioError
from tests.support.clips import voice, wav

SOUND = voice(2.0, 300, 1)
PLAIN = {
    "AU": ("PCM_S8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW"),
    "W64": ("PCM_16", "PCM_24", "FLOAT", "ALAW"),
    "CAF": ("PCM_16", "PCM_24", "DOUBLE", "ULAW"),
    "NIST": ("PCM_16", "PCM_24", "ULAW"),
    "AVR": ("PCM_S8", "PCM_16"),
    "SVX": ("PCM_S8", "PCM_16"),
    "MPC2K": ("PCM_16",),
    "WVE": ("ALAW",),
}
"""By the bytes of a sample, both lengths are known."""
BLOCKS = {
    "VOC": ("PCM_16", "ALAW"),
    "MAT4": ("PCM_16", "FLOAT"),
    "MAT5": ("PCM_16", "DOUBLE"),
    "AIFF": ("IMA_ADPCM", "GSM610"),
    "W64": ("IMA_ADPCM",),
    "CAF": ("ALAC_16",),
}
"""Compressed sound, and files whose blocks have a size only."""
EVERY = [(kind, subtype) for group in (PLAIN, BLOCKS) for kind, subtypes in group.items() for subtype in subtypes]


def refusal(content: bytes) -> str:
    """Why intake refuses a file; empty if its lengths agree."""
    length = file_length(content)
    try:
        require_one_length("it", length)
        require_one_length("it", length, len(load(content)) / 16_000)
    except AudioError as error:
        return error.reason
    return ""


@pytest.mark.parametrize(("kind", "subtype"), EVERY)
def test_a_whole_file_is_taken_and_a_part_of_it_is_not(kind: str, subtype: str) -> None:
    content = wav(SOUND, kind=kind, subtype=subtype)
    assert refusal(content) == ""
    assert refusal(content[: len(content) * 3 // 4]) in ("cut_off", "wrong_length", "corrupt")


@pytest.mark.parametrize(("kind", "subtype"), [(kind, subtype) for kind in PLAIN for subtype in PLAIN[kind]])
def test_both_lengths_of_plain_samples_are_known(kind: str, subtype: str) -> None:
    content = wav(SOUND, kind=kind, subtype=subtype)
    lasts = load_info(content)[1].seconds
    found = file_length(content)
    assert found is not None
    assert (found.header, found.content) == (pytest.approx(lasts, abs=0.001), pytest.approx(lasts, abs=0.001))
    cut = file_length(content[: len(content) // 2])
    assert cut is not None
    assert (cut.header, cut.content) == (pytest.approx(lasts, abs=0.001), pytest.approx(lasts / 2, abs=0.15))


@pytest.mark.parametrize("kind", ["AU", "W64", "CAF", "NIST", "AVR", "MPC2K"])
def test_two_channels_are_as_long_as_one(kind: str) -> None:
    found = file_length(wav(np.stack([SOUND, -SOUND], 1), 48_000, kind=kind))
    assert found is not None
    assert found.header == found.content == pytest.approx(len(SOUND) / 48_000, abs=0.001)


def test_more_samples_than_the_header_says_are_found() -> None:
    for kind in ("AU", "NIST", "AVR", "W64", "CAF"):
        assert refusal(wav(SOUND, kind=kind) + wav(SOUND)[44:]) == "wrong_length"


def test_blocks_after_the_samples_are_no_samples() -> None:
    listed = b"info" + struct.pack(">q", 40_000) + bytes(40_000)
    assert refusal(wav(SOUND, kind="CAF") + listed) == ""
    listed = b"bext" + bytes(12) + struct.pack("<Q", 40_024) + bytes(40_000)
    found = file_length(wav(SOUND, kind="W64") + listed)
    assert found is not None
    assert (found.header, found.content) == (2.0, 2.0)
    # libsndfile reads them as sound all the same: such a file is not taken
    assert refusal(wav(SOUND, kind="W64") + listed) == "wrong_length"


def streamed(kind: str) -> bytes:
    """A file whose writer could not come back to fill in its size."""
    content = bytearray(wav(SOUND, kind=kind))
    if kind == "AU":
        content[8:12] = b"\xff" * 4
    elif kind == "CAF":
        place = content.index(b"data")
        content[place + 4 : place + 12] = b"\xff" * 8
    else:
        place = content.index(b"data\xf3\xac")
        content[place + 16 : place + 24] = struct.pack("<Q", 2**63 - 1)
    return bytes(content)


@pytest.mark.parametrize("kind", ["AU", "CAF", "W64"])
def test_a_streamed_file_says_nothing_and_is_read_to_its_end(kind: str) -> None:
    found = file_length(streamed(kind))
    assert found is not None
    assert (found.header, found.content) == (None, pytest.approx(2.0, abs=0.001))
    assert len(load(streamed(kind))) == len(SOUND)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(EVERY),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6),
    st.integers(0, 400),
)
def test_damaged_headers_give_a_length_or_none(one: tuple[str, str], changes: list[tuple[int, int]], size: int) -> None:
    content = bytearray(wav(SOUND[:2000], kind=one[0], subtype=one[1]))
    for place, value in changes:
        content[place % len(content)] = value
    for damaged in (bytes(content), bytes(content[:size])):
        found = file_length(damaged)
        assert found is None or all(value is None or value >= 0 for value in (found.header, found.content))
