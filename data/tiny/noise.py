"""Disturbances of the WavLM kind (Chen et al. 2022, section III-B): they change the input, not the targets.

Every function works on float32 windows `[batch, samples]` at 16 kHz and draws from the generator it is given.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from tiny.settings import SAMPLE_RATE, BatchSettings

Windows = NDArray[np.float32]


def _coloured(rng: np.random.Generator, count: int, slope: float) -> Windows:
    """Return noise whose power falls with frequency to the power of `slope` (0 white, 1 pink, 2 brown)."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / SAMPLE_RATE).clip(20)
    return np.asarray(np.fft.irfft(spectrum * frequency ** (-slope / 2), count), dtype=np.float32)


def _hum(rng: np.random.Generator, count: int) -> Windows:
    """Return mains hum: harmonics of 50 or 60 Hz, drifting in level each second, over a pink floor."""
    time = np.arange(count) / SAMPLE_RATE
    base = rng.choice([50.0, 60.0, 100.0, 120.0])
    knots = count // SAMPLE_RATE + 1
    level = np.interp(time, np.arange(knots), rng.uniform(0.3, 1, knots))
    harmonics = [
        np.sin(2 * np.pi * base * k * time + rng.uniform(0, 6)) * rng.uniform(0.2, 1) / k**0.7 for k in range(1, 25)
    ]
    floor = _coloured(rng, count, 1.0)
    return np.asarray(level * sum(harmonics) + 0.3 * floor / floor.std(), dtype=np.float32)


def _clanks(rng: np.random.Generator, count: int) -> Windows:
    """Return struck metal: three blows a second, each a few decaying resonances."""
    out = np.zeros(count + SAMPLE_RATE, dtype=np.float64)
    for start in rng.integers(0, count, max(1, 3 * count // SAMPLE_RATE)):
        length = int(rng.uniform(0.05, 0.6) * SAMPLE_RATE)
        time = np.arange(length) / SAMPLE_RATE
        ring = sum(np.sin(2 * np.pi * f * time) for f in rng.uniform(200, 6500, rng.integers(2, 7)))
        out[start : start + length] += rng.uniform(0.2, 1) * ring * np.exp(-time * rng.uniform(8, 60))
    return np.asarray(out[:count] + 0.02 * rng.standard_normal(count), dtype=np.float32)


def _machine(rng: np.random.Generator, count: int) -> Windows:
    """Return a running machine: resonant noise, beating at its rate of turns."""
    noise = rng.standard_normal(count)
    for _ in range(2):
        angle, radius = 2 * np.pi * rng.uniform(100, 3000) / SAMPLE_RATE, rng.uniform(0.9, 0.99)
        noise = lfilter([1.0], [1, -2 * radius * np.cos(angle), radius**2], noise) + 0.2 * noise
        noise /= noise.std()
    turns = np.sin(2 * np.pi * rng.uniform(2, 30) * np.arange(count) / SAMPLE_RATE)
    return np.asarray(noise * (1 + 0.8 * turns), dtype=np.float32)


def noise_bank(seed: int, seconds: float) -> Windows:
    """Return `seconds` of each of 14 noises, unit power, `[14, samples]`."""
    rng = np.random.default_rng([seed, 1])
    count = round(seconds * SAMPLE_RATE)
    kinds = [_coloured(rng, count, s) for s in (0.0, 0.5, 1.0, 2.0)]
    kinds += [make(rng, count) for make in (_hum, _hum, _clanks, _clanks, *[_machine] * 6)]
    bank = np.stack(kinds)
    return np.asarray(bank / np.sqrt((bank**2).mean(axis=1, keepdims=True)), dtype=np.float32)


def _power(windows: Windows) -> Windows:
    return np.asarray((windows**2).mean(axis=1, keepdims=True) + 1e-8, dtype=np.float32)


def add_noise(windows: Windows, bank: Windows, snr_db: tuple[float, ...], rng: np.random.Generator) -> Windows:
    """Add a random stretch of a random noise to every window at an SNR uniform in `snr_db` (low, high)."""
    starts = rng.integers(0, bank.shape[1] - windows.shape[1], len(windows))
    kinds = rng.integers(0, len(bank), len(windows))
    noise = np.stack([bank[k, s : s + windows.shape[1]] for k, s in zip(kinds, starts, strict=True)])
    snr = rng.uniform(snr_db[0], snr_db[1], (len(windows), 1))
    gain = np.sqrt(_power(windows) / _power(noise) / 10 ** (snr / 10))
    return np.asarray(windows + gain * noise, dtype=np.float32)


def add_talker(windows: Windows, other: Windows, rng: np.random.Generator) -> Windows:
    """Add a stretch of another voice, at most half the window, to every window, 0 to 15 dB below it."""
    out = windows.copy()
    gain = np.sqrt(_power(windows) / _power(other) / 10 ** (rng.uniform(0, 15, (len(windows), 1)) / 10))
    for row in range(len(windows)):
        length = int(rng.uniform(0.1, 0.5) * windows.shape[1])
        start = int(rng.integers(0, windows.shape[1] - length))
        out[row, start : start + length] += gain[row] * other[row, start : start + length]
    return out


def telephone(windows: Windows, rng: np.random.Generator) -> Windows:
    """Keep the band of a telephone line: from about 50-250 Hz up to 3.4-4 kHz, softly."""
    frequency = np.fft.rfftfreq(windows.shape[1], 1 / SAMPLE_RATE)
    low, high = rng.uniform(50, 250, (len(windows), 1)), rng.uniform(3400, 4000, (len(windows), 1))
    keep = 1 / (1 + (frequency / high) ** 40) / (1 + (low / (frequency + 1.0)) ** 8)
    return np.asarray(np.fft.irfft(np.fft.rfft(windows) * keep, windows.shape[1]), dtype=np.float32)


def set_level(windows: Windows, rng: np.random.Generator) -> Windows:
    """Scale every window to an RMS log-uniform in 0.01..0.3; one in four to unit variance, like normalised input."""
    level = np.exp(rng.uniform(np.log(0.01), np.log(0.3), (len(windows), 1)))
    level[rng.random(len(windows)) < 0.25] = 1.0
    return np.asarray(windows * (level / np.sqrt(_power(windows))), dtype=np.float32)


def disturb(windows: Windows, bank: Windows, settings: BatchSettings, rng: np.random.Generator) -> Windows:
    """Disturb a share of the windows (another talker, noise, a telephone line), then draw the level of each."""
    out = windows.copy()

    def some(share: float) -> NDArray[np.int64]:
        return np.flatnonzero(rng.random(len(windows)) < share)

    if (chosen := some(settings.overlapped)).size:
        out[chosen] = add_talker(out[chosen], windows[rng.integers(0, len(windows), len(chosen))], rng)
    if (chosen := some(settings.noisy)).size:
        out[chosen] = add_noise(out[chosen], bank, settings.snr_db, rng)
    if (chosen := some(settings.telephone)).size:
        out[chosen] = telephone(out[chosen], rng)
    return set_level(out, rng)
