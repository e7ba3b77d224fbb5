"""Augmentation of training clips; each draw depends on seed, epoch or variant, and clip: a resumed run repeats it."""

import numpy as np
import numpy.typing as npt
import torch

from elp_core.audio import MIN_SAMPLES, Waveform, resample
from elp_core.config import AugmentConfig
from elp_core.data.noise import coloured_noise, mix
from elp_core.types import SAMPLE_RATE, Samples

SPEED_STEPS = 8
"""Possible speeds below and above 1.0; few, so that their resampling kernels are made once."""
QUIET_SAMPLES: Samples = 480
"""Length of the part of a clip that is taken for its background: 30 ms, the length of a short pause in a word."""


def augment_waveform(
    samples: Waveform, config: AugmentConfig, rng: np.random.Generator, min_samples: Samples = MIN_SAMPLES
) -> Waveform:
    """Return float32 [samples / speed + margins] at 16 kHz: speed, margins, noise and gain change, in this order.

    A speed that would leave fewer than `min_samples` is not used.
    """
    steps = int(rng.integers(-SPEED_STEPS, SPEED_STEPS + 1))
    noisy, snr, slope = rng.random() < config.noise_probability, rng.uniform(*config.noise_snr), rng.uniform(0.0, 2.0)
    gain = rng.uniform(-config.gain_db, config.gain_db)
    rate = round(SAMPLE_RATE * (1 + config.speed * steps / SPEED_STEPS) / 100) * 100
    if rate != SAMPLE_RATE and len(samples) * SAMPLE_RATE // rate >= min_samples:
        samples = resample(samples, rate, SAMPLE_RATE)
    if config.margin:
        before, after = (round(seconds * SAMPLE_RATE) for seconds in rng.uniform(0.0, config.margin, 2))
        samples = np.concatenate([background(samples, before, rng), samples, background(samples, after, rng)])
    if noisy:
        samples = mix(samples, coloured_noise(len(samples), slope, rng), snr)
    return (samples * np.float32(10 ** (gain / 20))).astype(np.float32)


def background(clip: Waveform, count: Samples, rng: np.random.Generator) -> Waveform:
    """Return float32 [count] of noise with the spectrum and the level of the quietest 30 ms of a clip [samples].

    White noise is filtered by these 30 ms: their spectrum is then that of the result.
    """
    size = min(QUIET_SAMPLES, len(clip))
    if not count or not size:
        return np.zeros(count, np.float32)
    step = max(1, size // 3)
    energy = np.concatenate([[0.0], np.cumsum(np.square(clip, dtype=np.float64))])
    starts = np.arange(0, len(clip) - size + 1, step)
    start = starts[np.argmin(energy[starts + size] - energy[starts])]
    quiet = clip[start : start + size].astype(np.float64)
    offset = quiet.mean()
    white = rng.standard_normal(count + size - 1)
    length = len(white) + size - 1
    spectrum = np.fft.rfft(white, length) * np.fft.rfft((quiet - offset) / np.sqrt(size), length)
    noise: Waveform = (np.fft.irfft(spectrum, length)[size - 1 : size - 1 + count] + offset).astype(np.float32)
    return noise


def mask_features(
    features: torch.Tensor, counts: torch.Tensor, config: AugmentConfig, rng: np.random.Generator
) -> torch.Tensor:
    """Hide spans of frames and of channels: their features become zero (SpecAugment, arXiv 1904.08779).

    Features are [B, F, C] with `counts` int64 [B] real frames; the result is a copy. The config's `time_mask` and
    `feature_mask` are the mean shares hidden.
    """
    batch, frames, channels = features.shape
    keep = np.ones((batch, frames), bool)
    open_channels = np.ones((batch, channels), bool)
    for row, count in enumerate(counts.tolist()):
        _hide(keep[row, :count], config.time_mask, config.time_span, rng)
        _hide(open_channels[row], config.feature_mask, max(1, channels // 16), rng)
    mask = torch.from_numpy(keep).unsqueeze(2) & torch.from_numpy(open_channels).unsqueeze(1)
    return features * mask.to(features.device)


def _hide(row: npt.NDArray[np.bool_], share: float, span: int, rng: np.random.Generator) -> None:
    """Set spans of up to `span` to False until about `share` of the row is hidden (in the mean over many rows)."""
    hidden = rng.uniform(0, 2 * share) * len(row)
    while hidden > 0 and len(row):
        width = min(int(rng.integers(1, span + 1)), len(row))
        # the last span may hide too much; a random decision about it keeps the mean right
        if width > hidden and rng.random() > hidden / width:
            return
        start = int(rng.integers(0, len(row) - width + 1))
        row[start : start + width] = False
        hidden -= width


def generator(*key: int) -> np.random.Generator:
    """Return a random generator that depends on `key` (seed, epoch, position, …) and nothing else."""
    return np.random.default_rng(key)
