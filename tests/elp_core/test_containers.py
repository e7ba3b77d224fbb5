from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elp_core.containers import FileLength, content_of, file_length
from elp_core.containers.riff import sample_chunk
from tests.support.clips import voice, wav

SOUND = voice(3.0, 300, 1)
WAV = wav(SOUND)
FLAC = wav(SOUND, kind="FLAC")
MP3 = wav(SOUND, kind="MP3", subtype="MPEG_LAYER_III")
OGG = wav(SOUND, kind="OGG", subtype="VORBIS")
OPUS = wav(SOUND, kind="OGG", subtype="OPUS")


def wav_size(size: int, content: bytes = WAV) -> bytes:
    """A WAV file whose header announces `size` bytes of samples."""
    return content[:40] + struct.pack("<I", size) + content[44:]


def flac_total(samples: int) -> bytes:
    """A FLAC file whose header announces so many samples."""
    return FLAC[:22] + samples.to_bytes(4, "big") + FLAC[26:]


def seconds(content: bytes) -> tuple[float | None, float | None]:
    found = file_length(content)
    assert found is not None
    return tuple(None if value is None else round(value, 2) for value in (found.header, found.content))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "RF64"])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_header_and_content_of_a_whole_file_agree(kind: str, rate: int) -> None:
    lasts = round(len(SOUND) / rate, 2)
    assert seconds(wav(np.stack([SOUND, -SOUND], 1), rate, kind=kind)) == (lasts, lasts)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT", "DOUBLE", "ULAW"])
def test_encodings_of_wav(subtype: str) -> None:
    content = wav(SOUND, subtype=subtype)
    assert seconds(content) == (3.0, 3.0)
    assert seconds(content[: len(content) // 2])[1] == pytest.approx(1.5, abs=0.02)


def test_a_cut_off_wav_and_one_that_announces_less_than_it_has() -> None:
    assert seconds(WAV[:32_044]) == (3.0, 1.0)
    assert seconds(wav_size(32_000)) == (1.0, 3.0)


def test_chunks_after_the_samples_are_no_samples() -> None:
    listed = b"LIST" + struct.pack("<I", 40_000) + bytes(40_000)
    assert seconds(WAV + listed) == (3.0, 3.0)
    more = b"data" + struct.pack("<I", 32_000) + bytes(32_000)
    assert seconds(WAV + more) == (3.0, 4.0)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000])
def test_a_streamed_wav_says_nothing_and_has_all(size: int) -> None:
    assert seconds(wav_size(size)) == (None, 3.0)


def test_an_empty_chunk_of_samples_is_not_a_stream() -> None:
    content = wav_size(0)[:44]
    assert seconds(content) == (0.0, 0.0)
    assert seconds(content + b"LIST" + struct.pack("<I", 8) + bytes(8)) == (0.0, 0.0)


@pytest.mark.parametrize("size", [0, 2**64 - 1])
def test_a_streamed_rf64(size: int) -> None:
    content = bytearray(wav(SOUND, kind="RF64"))
    content[28:36] = struct.pack("<Q", size)
    assert seconds(bytes(content)) == (None, 3.0)


@pytest.mark.parametrize(("total", "header"), [(16_000, 1.0), (480_000, 30.0), (0, None)])
def test_flac_frames_are_counted_against_the_header(total: int, header: float | None) -> None:
    assert seconds(flac_total(total)) == (header, 3.0)


def test_a_cut_off_flac_holds_less() -> None:
    header, content = seconds(FLAC[: len(FLAC) // 2])
    assert header == 3.0
    assert content is not None
    assert content < 2.0


def test_mp3_frames_are_counted_against_the_first_one() -> None:
    header, content = seconds(MP3)
    assert header == content == pytest.approx(3.1, abs=0.1)
    assert seconds(b"ID3\x04\0\0\0\0\1\0" + bytes(128) + MP3 + b"TAG" + bytes(125)) == (header, content)
    header, content = seconds(MP3[: len(MP3) // 2])
    assert header is not None
    assert content is not None
    assert content < header - 1.0
    header, content = seconds(MP3 + MP3)
    assert header is not None
    assert content == pytest.approx(2 * header, abs=0.1)


def test_an_mp3_without_a_count_that_ends_inside_a_frame_was_cut() -> None:
    plain = MP3.replace(b"Xing", b"none").replace(b"Info", b"none")
    whole, cut = file_length(plain), file_length(plain[:-50])
    assert whole is not None
    assert cut is not None
    assert (whole.header, whole.cut) == (None, "")
    assert cut.cut == "it ends inside a frame"


@pytest.mark.parametrize("content", [OGG, OPUS])
def test_an_ogg_file_that_ends_inside_a_page_was_cut(content: bytes) -> None:
    assert file_length(content) == FileLength(None, None)
    for size in (len(content) * 9 // 10, len(content) - 1, len(content) // 3):
        found = file_length(content[:size])
        assert found is not None
        assert found.cut == "it ends inside a page"
    assert seconds(content + content) == (None, 6.0)


def test_a_file_is_mapped_and_an_empty_one_has_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(WAV)
    (tmp_path / "b.wav").touch()
    with content_of(tmp_path / "a.wav") as content:
        assert file_length(content) == FileLength(3.0, 3.0)
    with content_of(tmp_path / "b.wav") as content:
        assert file_length(content) is None


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([WAV, FLAC[:6000], MP3[:6000], OGG[:6000], wav(SOUND, kind="AIFF")[:6000], b""]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=12),
    st.integers(0, 6000),
)
def test_damaged_bytes_give_a_length_or_none(content: bytes, changes: list[tuple[int, int]], size: int) -> None:
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place : place + 1] = bytes([value])
    found = file_length(bytes(damaged[:size]))
    assert found is None or all(value is None or value >= 0 for value in (found.header, found.content))
    chunk = sample_chunk(bytes(damaged[:size]))
    assert chunk is None or chunk.held >= 0
