"""Convert clips to the corpus's form: mono, 16 kHz, trimmed, peak-normalised, a whole number of frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipelines.demo.espeak import Wave, resample_by
from tiny.settings import HOP, SAMPLE_RATE

_PEAK = 0.9
_SILENCE_DB = -42.0
_MARGIN = 6
"""Frames kept on each side of sound, so at most 240 ms of a pause remain."""


def read_clip(path: Path) -> Wave:
    """Decode WAV, FLAC, OGG or headerless GSM 06.10 (8 kHz) to mono float32 `[samples]` at 16 kHz.

    Raises:
        soundfile.LibsndfileError: The file cannot be decoded.
    """
    if path.suffix == ".gsm":
        data, rate = soundfile.read(
            path, dtype="float32", format="RAW", subtype="GSM610", samplerate=8000, channels=1, always_2d=True
        )
    else:
        data, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return resample_by(data.mean(axis=1), Fraction(SAMPLE_RATE, int(rate)))


def change_speed(wave: Wave, speed: float) -> Wave:
    """Play `[samples]` `speed` times as fast; the pitch changes with it (Ko et al. 2015)."""
    return resample_by(wave, 1 / Fraction(speed).limit_denominator(100))


def tidy(wave: Wave) -> Wave:
    """Cut long silence, remove the mean, set the peak to 0.9; empty if there is no sound."""
    wave = wave - wave.mean() if wave.size else wave
    frames = wave[: wave.size // HOP * HOP].reshape(-1, HOP)
    level = 10 * np.log10((frames**2).mean(axis=1) + 1e-12) if frames.size else np.zeros(0)
    if not level.size or level.max() < -60:
        return np.zeros(0, dtype=np.float32)
    active = level > level.max() + _SILENCE_DB
    kept = np.convolve(active, np.ones(2 * _MARGIN + 1), mode="same") > 0
    kept = kept[: active.size] if kept.size != active.size else kept
    sound = frames[kept].reshape(-1)
    return np.asarray(sound * (_PEAK / np.abs(sound).max()), dtype=np.float32)


def to_int16(wave: Wave) -> NDArray[np.int16]:
    """Quantise `[samples]` in -1..1 and cut to whole frames of 320 samples."""
    whole = wave[: wave.size // HOP * HOP]
    return np.clip(np.rint(whole * 32767), -32768, 32767).astype(np.int16)
