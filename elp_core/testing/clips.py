"""Waveforms and clips made of tones and noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from elp_core.audio import clip_id, encode_flac
from elp_core.types import SAMPLE_RATE, Clip, Hertz, Samples, Seconds

WORDS = ("one", "two", "three", "four")


def tone(frequency: Hertz, seconds: Seconds, level: float = 0.3) -> npt.NDArray[np.float32]:
    """A sine, float32 [samples] at 16 kHz with peak `level`."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (level * np.sin(2 * np.pi * frequency * times)).astype(np.float32)


def waveform_batch(lengths: Sequence[Samples], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise of the given lengths as a padded batch: float32 [B, T] and int64 [B]."""
    generator = torch.Generator().manual_seed(seed)
    waveforms = torch.zeros(len(lengths), max(lengths))
    for row, length in zip(waveforms, lengths, strict=True):
        row[:length] = 0.1 * torch.randn(length, generator=generator)
    return waveforms, torch.tensor(lengths)


def random_clips(count: int = 8, speakers: int = 2, seed: int = 0) -> list[Clip]:
    """Clips of 0.4 to 0.8 s: a tone for each word (also the label) and speaker in faint noise. All ``train``."""
    rng = np.random.default_rng(seed)
    clips = []
    for number in range(count):
        word, speaker = number % len(WORDS), number % speakers
        samples = tone(300 + 200 * word + 40 * speaker, rng.uniform(0.4, 0.8))
        samples = (samples + 0.01 * rng.standard_normal(len(samples))).astype(np.float32)
        clips.append(
            Clip(
                id=clip_id(samples),
                audio=encode_flac(samples),
                duration=len(samples) / SAMPLE_RATE,
                split="train",
                text=WORDS[word],
                speaker=f"speaker-{speaker}",
                label=WORDS[word],
                condition="clean",
            )
        )
    return clips
