from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from elp_core.audio import clip_id, load, load_info, load_part, probe
from elp_core.errors import AudioError
from elp_core.inference.predict import check_waveform
from tests.elp_core.test_containers import FLAC, flac_total, wav_size
from tests.support.clips import tone, voice, wav

SOUND = voice(3.0, 300, 1)


def refused(source: bytes | Path) -> str:
    with pytest.raises(AudioError, match=r"expected|is not|names|export") as caught:
        load(source)
    return caught.value.reason


@pytest.mark.parametrize("rate", [1, 999, 800_000, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_refused_before_decoding(rate: int) -> None:
    content = wav(SOUND)
    assert refused(content[:24] + struct.pack("<I", rate) + content[28:]) == "sample_rate"


def test_a_thousand_channels_are_refused() -> None:
    content = wav(SOUND)
    content = content[:22] + struct.pack("<H", 1000) + content[24:32] + struct.pack("<H", 2000) + content[34:]
    assert refused(content) == "channels"


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_float_beyond_full_scale_is_refused_and_integers_stay(subtype: str) -> None:
    loud = tone(level=1.0)
    assert len(load(wav(loud, subtype=subtype))) == 8000
    assert refused(wav(loud * 1.01, subtype=subtype)) == refused(wav(loud * 32767, subtype=subtype))
    assert refused(wav(loud * 1.01, subtype=subtype)) == "beyond_full_scale"
    assert np.abs(load(wav(np.full(8000, 0.9999, np.float32)))).max() <= 1.0


def test_arrays_of_another_scale_are_refused_and_what_resampling_adds_is_not() -> None:
    square = np.sign(tone(level=1.0, rate=44100))
    check_waveform(0, load(wav(square, 44100)), 400)
    with pytest.raises(AudioError, match="values up to 9830, expected full scale at ±1"):
        check_waveform(0, tone() * np.float32(32767), 400)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_a_streamed_wav_is_read_to_its_end(size: int, tmp_path: Path) -> None:
    content = wav_size(size)
    content = content[:4] + struct.pack("<I", size) + content[8:]
    (tmp_path / "a.wav").write_bytes(content)
    for source in (content, tmp_path / "a.wav"):
        assert probe(source).seconds == 3.0
        assert clip_id(load(source)) == clip_id(load(wav(SOUND)))


@pytest.mark.parametrize("size", [0, 2**64 - 1])
def test_a_streamed_rf64_is_read_to_its_end(size: int, tmp_path: Path) -> None:
    content = bytearray(wav(SOUND, kind="RF64"))
    content[20:36] = struct.pack("<QQ", size, size)
    (tmp_path / "a.wav").write_bytes(content)
    assert clip_id(load(bytes(content))) == clip_id(load(tmp_path / "a.wav")) == clip_id(load(wav(SOUND)))


def test_a_streamed_flac_is_read_to_its_end(tmp_path: Path) -> None:
    assert probe(flac_total(0)).seconds == 3.0
    assert clip_id(load(flac_total(0))) == clip_id(load(FLAC))
    (tmp_path / "a.flac").write_bytes(flac_total(0))
    assert clip_id(load(tmp_path / "a.flac")) == clip_id(load(FLAC))


def test_more_than_an_hour_is_refused_whatever_the_header_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elp_core.sound_files.MAX_SECONDS", 2.0)
    assert refused(wav(SOUND)) == refused(wav(SOUND, kind="FLAC")) == refused(flac_total(0)) == "too_long"


def test_large_recordings_are_bounded_by_their_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elp_core.sound_files.MAX_VALUES", 40_000)
    assert len(load(wav(SOUND[:40_000]))) == 40_000
    assert refused(wav(SOUND)) == "too_long"


@pytest.mark.parametrize("rate", [8000, 16_000, 16_001, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_a_part_is_what_the_whole_has_there(rate: int, kind: str) -> None:
    content = wav(SOUND, rate, kind=kind)
    whole = load(content)
    for begin, end in ((0, 400), (5_000, 9_999), (len(whole) - 777, len(whole))):
        part = load_part(content, begin, end)
        assert len(part) == end - begin
        assert np.abs(part - whole[begin:end]).max() < 1e-4
    with pytest.raises(AudioError, match="has no sound from"):
        load_part(content, len(whole) - 10, len(whole) + 3)
    with pytest.raises(AudioError, match="has no sound from"):
        load_part(content, 10 * len(whole), 11 * len(whole))


@pytest.mark.parametrize(("kind", "subtype"), [("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS")])
def test_a_part_of_a_lossy_file(kind: str, subtype: str) -> None:
    content = wav(SOUND, 16_000, subtype, kind)
    assert np.abs(load_part(content, 20_000, 30_000) - load(content)[20_000:30_000]).max() < 0.02


def test_one_decoding_gives_samples_and_header() -> None:
    samples, info = load_info(wav(np.stack([SOUND, SOUND], axis=1), 8000), "same")
    assert (info.rate, info.channels, info.format) == (8000, 2, "WAV/PCM_16")
    assert len(samples) == 96_000
