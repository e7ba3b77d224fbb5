from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from elp_core.audio import MIN_SAMPLES, clip_id, encode_flac, load, measure, probe, resample, to_int16
from elp_core.errors import AudioError
from elp_core.types import SAMPLE_RATE
from tests.support.clips import tone, wav


def refused(source: Path | str | bytes) -> str:
    with pytest.raises(AudioError, match=r"\w") as caught:
        load(source)
    return caught.value.reason


@pytest.mark.parametrize(
    ("kind", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]
)
def test_reads_every_format_as_mono_16_khz(kind: str, subtype: str) -> None:
    stereo = np.stack([tone(rate=44100), tone(rate=44100)], axis=1)
    samples = load(wav(stereo, 44100, subtype, kind))
    assert samples.dtype == np.float32
    assert abs(len(samples) / SAMPLE_RATE - 0.5) < 0.06
    assert abs(np.abs(np.fft.rfft(samples)).argmax() * SAMPLE_RATE / len(samples) - 440) < 5


def test_channels_are_averaged() -> None:
    assert np.abs(load(wav(np.stack([tone(), -tone()], axis=1)))).max() < 1e-4


def test_resampling_keeps_level_and_length() -> None:
    samples = resample(tone(rate=8000), 8000)
    assert len(samples) == SAMPLE_RATE // 2
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.01)


def test_header_is_told_without_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(np.stack([tone(rate=8000)] * 2, axis=1), 8000))
    info = probe(path)
    assert (info.seconds, info.rate, info.channels, info.format) == (0.5, 8000, 2, "WAV/PCM_16")


def test_empty_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    assert refused(tmp_path / "empty.wav") == "empty"
    assert refused(b"") == "empty"
    assert refused(tmp_path / "none.wav") == refused(str(tmp_path / "none.wav")) == "missing"
    assert refused(tmp_path) == "missing"


def test_corrupt_files() -> None:
    assert refused(b"no audio at all, only words") == "corrupt"
    assert refused(encode_flac(tone())[:900]) == "corrupt"


def test_header_without_samples() -> None:
    assert refused(wav(np.zeros(0, np.float32))) == "empty"


@pytest.mark.parametrize("count", [1, MIN_SAMPLES - 1])
def test_too_short(count: int) -> None:
    assert refused(wav(np.full(count, 0.1, np.float32))) == "too_short"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers(value: float) -> None:
    samples = tone()
    samples[100] = value
    assert refused(wav(samples, subtype="FLOAT")) == "nan"


def test_ten_hours_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 4000, 1, "PCM_U8") as file:
        for _ in range(144):
            file.write(np.zeros(1_000_000, np.float32))
    monkeypatch.setattr(soundfile, "read", lambda *_, **__: pytest.fail("decoded"))
    assert refused(path) == "too_long"


@given(hnp.arrays(np.float32, st.integers(400, 900), elements=st.floats(-1.5, 1.5, width=32)))
def test_flac_round_trip_keeps_the_id(samples: np.ndarray) -> None:
    assert clip_id(load(encode_flac(samples))) == clip_id(samples)


def test_same_sound_in_another_container_has_the_same_id() -> None:
    assert clip_id(load(wav(to_int16(tone())))) == clip_id(load(encode_flac(tone())))
    assert soundfile.info(io.BytesIO(encode_flac(tone()))).samplerate == SAMPLE_RATE


def test_measurements_of_a_known_signal() -> None:
    samples = np.concatenate([tone(0.5, level=0.5), np.zeros(8000, np.float32)]) + np.float32(0.001)
    figures = measure(samples)
    assert figures.duration == 1.0
    assert figures.peak == pytest.approx(0.501, abs=1e-3)
    assert figures.dc == pytest.approx(0.001, abs=1e-5)
    assert figures.silence == 0.5
    assert figures.rms_db == pytest.approx(20 * np.log10(0.25), abs=0.1)
    assert figures.snr_db == pytest.approx(10 * np.log10(0.125 / 1e-6), abs=0.5)
    assert figures.clipping == 0.0


def test_clipping_is_a_share_of_samples() -> None:
    samples = tone(level=0.2)
    samples[:800] = 1.0
    assert measure(samples).clipping == 0.1


def test_digital_silence_has_finite_figures() -> None:
    figures = measure(np.zeros(8000, np.float32))
    assert (figures.silence, figures.rms_db, figures.peak) == (1.0, -120.0, 0.0)
    assert np.isfinite(figures.snr_db)


def test_measuring_nothing_is_refused() -> None:
    with pytest.raises(AudioError, match="without samples"):
        measure(np.zeros(0, np.float32))


def test_noise_measures_lower_snr_than_a_voice() -> None:
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal(16000).astype(np.float32)
    assert measure(noise).snr_db < 0 < measure(np.concatenate([noise * 0.01, tone()])).snr_db
