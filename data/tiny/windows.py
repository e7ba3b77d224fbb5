"""Batches: windows of one voice each, with the targets of the clean audio and the frames to mask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tiny.corpus import Corpus
from tiny.noise import disturb
from tiny.settings import HOP, SAMPLE_RATE, BatchSettings, TrainingSettings


@dataclass(frozen=True)
class WindowBatch:
    """Training windows."""

    waves: NDArray[np.float32]
    """`[batch, samples]`, disturbed, 16 kHz."""
    targets: NDArray[np.int64]
    """`[batch, frames]`, classes of the clean audio."""
    mask: NDArray[np.bool_]
    """`[batch, frames]`, frames that the network must predict."""


@dataclass(frozen=True)
class WindowSource:
    """Clips to draw from: either the training part or the held-out part of a corpus."""

    corpus: Corpus
    labels: NDArray[np.uint16]
    clips: NDArray[np.int64]

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        seconds = np.cumsum(self.corpus.length[self.clips].astype(np.float64))
        return np.asarray(seconds / seconds[-1])

    @cached_property
    def _of_speaker(self) -> dict[int, NDArray[np.int64]]:
        order = self.clips[np.argsort(self.corpus.speaker[self.clips], kind="stable")]
        voices, starts = np.unique(self.corpus.speaker[order], return_index=True)
        return dict(zip(voices.tolist(), np.split(order, starts[1:]), strict=True))

    def window(self, frames: int, rng: np.random.Generator) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
        """Fill `frames` frames from a clip drawn by its length, then from more clips of the same voice."""
        clip = int(self.clips[np.searchsorted(self._weights, rng.random())])
        mates = self._of_speaker[int(self.corpus.speaker[clip])]
        spans: list[tuple[int, int]] = []
        missing = frames
        while missing:
            start, length = int(self.corpus.offset[clip]) // HOP, int(self.corpus.length[clip]) // HOP
            take = min(missing, length)
            begin = start + int(rng.integers(0, length - take + 1))
            spans.append((begin, begin + take))
            missing -= take
            clip = int(mates[rng.integers(0, len(mates))])
        audio = [self.corpus.audio[a * HOP : b * HOP] for a, b in spans]
        return np.concatenate(audio), np.concatenate([self.labels[a:b] for a, b in spans])


def sources(corpus: Corpus, labels: NDArray[np.uint16]) -> tuple[WindowSource, WindowSource]:
    """Split the clips into the training source and the held-out one (its undisturbed speed only)."""
    train = np.flatnonzero(~corpus.held_out)
    held_out = np.flatnonzero(corpus.held_out & (corpus.speed == 1.0))
    return WindowSource(corpus, labels, train), WindowSource(corpus, labels, held_out)


def draw_mask(batch: int, frames: int, settings: TrainingSettings, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose `mask_probability * frames` starts a row, without replacement; each masks `mask_span` frames."""
    span = min(settings.mask_span, frames)
    count = max(1, round(settings.mask_probability * frames))
    starts = rng.random((batch, frames - span + 1)).argsort(axis=1)[:, :count]
    mask = np.zeros((batch, frames), dtype=np.bool_)
    rows = np.arange(batch)[:, None, None]
    mask[rows, starts[:, :, None] + np.arange(span)] = True
    return mask


def draw_batch(
    source: WindowSource,
    bank: NDArray[np.float32] | None,
    batches: BatchSettings,
    training: TrainingSettings,
    rng: np.random.Generator,
) -> WindowBatch:
    """Draw a batch of one window length; without a noise bank the windows are left clean.

    The CNN gives one frame less than a window has hops, because its last frame would need 80 more samples.
    """
    seconds = float(rng.choice(batches.windows))
    frames = round(seconds * SAMPLE_RATE) // HOP
    count = max(1, round(batches.seconds / seconds))
    drawn = [source.window(frames, rng) for _ in range(count)]
    waves = np.stack([wave for wave, _ in drawn]).astype(np.float32)
    waves /= 32768
    targets = np.stack([label[:-1] for _, label in drawn]).astype(np.int64)
    mask = draw_mask(count, frames - 1, training, rng)
    return WindowBatch(waves if bank is None else disturb(waves, bank, batches, rng), targets, mask)
