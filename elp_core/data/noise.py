"""Synthetic noise, a function of its seed: a machine hall, and coloured noise for augmentation."""

import numpy as np
import numpy.typing as npt

from elp_core.audio import Waveform
from elp_core.types import SAMPLE_RATE, Decibels, Samples

MAINS_HZ = 50.0
CLANKS_PER_SECOND = 1.5


def factory_noise(samples: Samples, seed: int) -> Waveform:
    """Return machine-hall noise: hum with harmonics, broadband roar with resonances, and clanks at random instants.

    It is float32 [samples] at 16 kHz of unit RMS; the same seed and length give the same noise.
    """
    rng = np.random.default_rng([seed, 0xFAC])
    hall = 1.0 * _unit(_hum(samples, rng)) + 1.0 * _unit(_roar(samples, rng)) + 0.6 * _clanks(samples, rng)
    return _unit(hall).astype(np.float32)


def coloured_noise(samples: Samples, slope: float, rng: np.random.Generator) -> Waveform:
    """Return Gaussian noise, float32 [samples] of unit RMS, whose power falls with frequency as ``f ** -slope``."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequencies = np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE), 20.0)
    return _unit(np.fft.irfft(spectrum * frequencies ** (-slope / 2), samples)).astype(np.float32)


def mix(clean: Waveform, noise: Waveform, snr_db: Decibels) -> Waveform:
    """Add `noise` to `clean` [samples] at an SNR of `snr_db` (mean powers over the whole clip).

    The sum is scaled down if it would exceed full scale. If the clip or the noise is silent, `clean` is returned.

    Raises:
        ValueError: The two differ in length.
    """
    if clean.shape != noise.shape:
        raise ValueError(f"the noise has {noise.size} samples, the clip {clean.size}; make noise of the clip's length")
    signal, disturbance = float(np.mean(clean**2)), float(np.mean(noise**2))
    if signal == 0 or disturbance == 0:
        return clean
    gain = np.sqrt(signal / disturbance * 10 ** (-snr_db / 10))
    mixed = clean + np.float32(gain) * noise
    peak = float(np.abs(mixed).max())
    return (mixed / peak if peak > 1 else mixed).astype(np.float32)


def _hum(samples: Samples, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return mains hum and one rotating machine, each a series of harmonics that beats slowly."""
    time = np.arange(samples) / SAMPLE_RATE
    total = np.zeros(samples)
    for fundamental in (MAINS_HZ, rng.uniform(22.0, 32.0) * rng.integers(3, 8)):
        beat = 1 + 0.3 * np.sin(2 * np.pi * rng.uniform(0.3, 2.0) * time + rng.uniform(0, 2 * np.pi))
        for harmonic in range(1, 13):
            level = rng.uniform(0.4, 1.0) / harmonic
            total += level * beat * np.sin(2 * np.pi * fundamental * harmonic * time + rng.uniform(0, 2 * np.pi))
    return total


def _roar(samples: Samples, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return pink noise with three broad resonances, as of fans and belts."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequencies = np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE), 20.0)
    shape = frequencies**-0.5
    for centre in rng.uniform(200.0, 3500.0, size=3):
        shape *= 1 + 2 * np.exp(-0.5 * ((frequencies - centre) / (0.15 * centre)) ** 2)
    return np.fft.irfft(spectrum * shape, samples)


def _clanks(samples: Samples, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return struck metal: decaying inharmonic modes, at Poisson instants, some before the clip's start."""
    total = np.zeros(samples)
    lead = SAMPLE_RATE // 2
    for _ in range(rng.poisson(CLANKS_PER_SECOND * (samples + lead) / SAMPLE_RATE)):
        start = int(rng.integers(-lead, samples))
        time = np.arange(min(samples - start, SAMPLE_RATE)) / SAMPLE_RATE
        decay = rng.uniform(0.04, 0.2)
        modes = rng.uniform(700.0, 6000.0, size=5)
        strike = sum(np.sin(2 * np.pi * mode * time) * np.exp(-time / decay) for mode in modes) * rng.uniform(0.5, 1.5)
        seen = np.asarray(strike)[max(0, -start) :]
        total[max(0, start) : max(0, start) + len(seen)] += seen
    return total


def _unit(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    level = float(np.sqrt(np.mean(signal**2)))
    return signal / level if level > 0 else signal
