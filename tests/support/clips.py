"""Clips for tests: short tones with what a test wants known about them."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from elp_core.audio import Waveform, clip_id, encode_flac
from elp_core.types import SAMPLE_RATE, Clip, Hertz, Split


def tone(seconds: float = 0.5, hertz: float = 440.0, level: float = 0.3, rate: Hertz = SAMPLE_RATE) -> Waveform:
    """A sine, float32 [seconds * rate]."""
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def voice(seconds: float, hertz: float, seed: int) -> Waveform:
    """A tone of varying loudness with a little noise: no two seeds alike, and snr and silence look like speech."""
    rng = np.random.default_rng(seed)
    carrier = tone(seconds, hertz)
    swell = np.sin(np.pi * np.arange(len(carrier)) / len(carrier))
    return (carrier * swell + 0.003 * rng.standard_normal(len(carrier))).astype(np.float32)


def wav(samples: np.ndarray, rate: Hertz = SAMPLE_RATE, subtype: str = "PCM_16", kind: str = "WAV") -> bytes:
    """An audio file of samples [n] or [n, channels]."""
    target = io.BytesIO()
    soundfile.write(target, samples, rate, format=kind, subtype=subtype)
    return target.getvalue()


def clip(
    samples: Waveform, text: str = "", speaker: str = "", split: Split = "train", condition: str = "", label: str = ""
) -> Clip:
    """A clip as it would stand in a shard."""
    return Clip(
        id=clip_id(samples),
        audio=encode_flac(samples),
        duration=len(samples) / SAMPLE_RATE,
        split=split,
        text=text,
        speaker=speaker,
        label=label,
        condition=condition,
    )


def two_speakers(each: int = 4, seconds: float = 0.4, seed: int = 0) -> list[Clip]:
    """`each` clips of a low voice that says "no" and of a high voice that says "yes"."""
    made = []
    for number in range(each):
        low = voice(seconds + 0.02 * number, 200 + 3 * number, seed * 1000 + number)
        high = voice(seconds + 0.02 * number, 1200 + 9 * number, seed * 1000 + 500 + number)
        made += [
            clip(low, "no", "anna", condition="clean", label="refuse"),
            clip(high, "yes", "bert", condition="clean", label="agree"),
        ]
    return made
