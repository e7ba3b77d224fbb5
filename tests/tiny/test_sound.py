from pathlib import Path

import numpy as np
import pytest
import soundfile

from tiny.sound import change_speed, read_clip, tidy, to_int16


def tone(seconds: float, hertz: float = 440.0, rate: int = 16_000) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def test_a_telephone_clip_comes_out_at_16_khz_mono(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([tone(0.5, rate=8000)] * 2, axis=1), 8000)
    wave = read_clip(tmp_path / "a.wav")
    assert wave.shape == (8000,)
    assert np.abs(np.fft.rfft(wave)).argmax() == pytest.approx(220, abs=1)


def test_headerless_gsm_is_read_as_8_khz(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.gsm", tone(0.4, rate=8000), 8000, format="RAW", subtype="GSM610")
    assert read_clip(tmp_path / "a.gsm").size == pytest.approx(6400, abs=640)


def test_long_silence_goes_and_the_peak_is_set() -> None:
    silence = np.zeros(16_000, dtype=np.float32)
    wave = tidy(np.concatenate([silence, tone(0.5), silence, tone(0.5), silence]))
    assert wave.size / 16_000 == pytest.approx(1.0 + 4 * 0.12, abs=0.1)
    assert np.abs(wave).max() == pytest.approx(0.9)


@pytest.mark.parametrize("wave", [np.zeros(0), np.zeros(100), np.zeros(16_000), np.full(16_000, 0.5)])
def test_nothing_is_left_where_there_is_no_sound(wave: np.ndarray) -> None:
    assert tidy(wave.astype(np.float32)).size == 0


def test_faster_is_shorter_and_higher() -> None:
    fast = change_speed(tone(1.0), 1.14)
    assert fast.size == pytest.approx(16_000 / 1.14, abs=1)
    assert np.abs(np.fft.rfft(fast)).argmax() * 16_000 / fast.size == pytest.approx(440 * 1.14, rel=0.01)


def test_quantised_clips_are_whole_frames() -> None:
    assert to_int16(np.ones(1000, dtype=np.float32)).tolist() == [32767] * 960
