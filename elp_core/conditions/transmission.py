"""What a line or a recorder does to a clip: bands, clipping, overdrive, lost packets and bursts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from elp_core.audio import Waveform
from elp_core.conditions.speech_level import speech_power, within_full_scale
from elp_core.types import SAMPLE_RATE, Decibels, Samples

TELEPHONE_LOW, TELEPHONE_HIGH = (200.0, 400.0), (3200.0, 3700.0)
"""Ranges of the edges of a telephone's band, in Hz."""
MUFFLED_SEVERITIES = (2500.0, 1800.0, 1300.0, 900.0)
"""Upper edges in Hz; there is no lower edge."""
LOSS = (0.02, 0.15)
"""Range of the share of lost packets in training; each is lost for itself."""
PACKET: Samples = 320
BURST_SEVERITIES = (0.05, 0.1, 0.2, 0.3)
"""Shares of a clip that are lost in bursts."""
BURST_PACKETS = (3, 8)
"""Shortest and longest burst of the sweep."""
CLIPPED = (0.005, 0.1)
"""Range of the share of samples that training clips."""
OVERDRIVE_SEVERITIES: tuple[Decibels, ...] = (0.0, 8.0, 16.0, 24.0)
"""Level of the speech above the level at which the amplifier saturates."""


def telephone_band(samples: Waveform, rng: np.random.Generator) -> Waveform:
    """Return float32 [samples] in the band of a telephone, with no delay."""
    low, high = rng.uniform(*TELEPHONE_LOW), rng.uniform(*TELEPHONE_HIGH)
    return _filtered(samples, lambda f: _rise(f, low, 0.25 * low) * (1 - _rise(f, high, 0.1 * high)))


def muffle(samples: Waveform, edge: float) -> Waveform:
    """Return float32 [samples] without what is above `edge` Hz, as behind a mask or a covered microphone."""
    return _filtered(samples, lambda f: 1 - _rise(f, edge, 0.2 * edge))


def clip_peaks(samples: Waveform, rng: np.random.Generator) -> Waveform:
    """Return float32 [samples] whose largest magnitudes are cut off."""
    share = float(np.exp(rng.uniform(*np.log(CLIPPED))))
    ceiling = np.float32(np.quantile(np.abs(samples), 1 - share)) if len(samples) else np.float32(0)
    return np.clip(samples, -ceiling, ceiling) if ceiling > 0 else samples


def overdrive(samples: Waveform, drive_db: Decibels) -> Waveform:
    """Return float32 [samples] after an amplifier that saturates smoothly (tanh), with the speech level of before.

    The speech is `drive_db` above the level that the amplifier cannot exceed.
    """
    power = speech_power(samples)
    if power == 0.0:
        return samples
    scale = 10 ** (drive_db / 20) / np.sqrt(power)
    driven = np.tanh(scale * samples.astype(np.float64)).astype(np.float32)
    return within_full_scale(driven * np.float32(np.sqrt(power / speech_power(driven))))


def lose_packets(samples: Waveform, rng: np.random.Generator) -> Waveform:
    """Return float32 [samples] in which packets of 20 ms are silent, each lost independently of the others."""
    lost = rng.random(-(-len(samples) // PACKET)) < rng.uniform(*LOSS)
    return _silenced(samples, lost)


def lose_bursts(samples: Waveform, share: float, rng: np.random.Generator) -> Waveform:
    """Return float32 [samples] in which bursts of 60 to 160 ms, together about `share` of the clip, are silent.

    The bursts come from an order that depends on `rng` alone: what a smaller share silences, a larger one does too.
    """
    packets = -(-len(samples) // PACKET)
    lost = np.zeros(packets, np.bool_)
    wanted = max(1, round(share * packets))
    while lost.sum() < wanted:
        start, length = int(rng.integers(packets)), int(rng.integers(BURST_PACKETS[0], BURST_PACKETS[1] + 1))
        lost[start : start + min(length, wanted - int(lost.sum()))] = True
    return _silenced(samples, lost)


def _silenced(samples: Waveform, lost: npt.NDArray[np.bool_]) -> Waveform:
    return np.where(np.repeat(lost, PACKET)[: len(samples)], np.float32(0), samples)


def _rise(frequencies: npt.NDArray[Any], edge: float, width: float) -> npt.NDArray[Any]:
    """Return a gain that rises from 0 to 1 around an edge, as half a cosine over `width` Hz."""
    place = np.clip((frequencies - edge) / width + 0.5, 0.0, 1.0)
    gain: npt.NDArray[Any] = 0.5 - 0.5 * np.cos(np.pi * place)
    return gain


def _filtered(samples: Waveform, gain: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Waveform:
    # padded, so that the end of the clip does not reach its beginning
    size = len(samples) + SAMPLE_RATE // 10
    spectrum = np.fft.rfft(samples, size) * gain(np.fft.rfftfreq(size, 1 / SAMPLE_RATE))
    filtered: Waveform = np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)
    return within_full_scale(filtered)
