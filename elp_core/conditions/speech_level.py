"""The level of the speech in a clip, without its pauses, and mixing at an SNR over speech."""

import numpy as np

from elp_core.audio import FRAME, Waveform
from elp_core.types import Decibels, Samples

ACTIVE_BELOW_LOUD_DB: Decibels = 15.9
"""A 20 ms frame is speech if it is at most this far below the clip's loud frames (the margin of ITU-T P.56)."""


def speech_power(samples: Waveform) -> float:
    """Return the mean square over the speech frames of float32 [samples]; 0.0 if there is no sound.

    The mean over a whole file depends on its pauses: the same SNR would be harder in a file with long pauses.
    """
    count = len(samples) // FRAME
    if not count:
        return float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    frames = samples[: count * FRAME].reshape(count, FRAME).astype(np.float64)
    energies = np.mean(frames**2, axis=1)
    loud = np.percentile(energies, 95)
    return float(energies[energies >= loud * 10 ** (-ACTIVE_BELOW_LOUD_DB / 10)].mean())


def mix_over_speech(speech: Waveform, disturbance: Waveform, snr_db: Decibels) -> Waveform:
    """Add a disturbance to speech, both float32 [samples], at an SNR of their levels without pauses.

    The sum is scaled down if it would exceed full scale. If one of the two is silent, `speech` is returned.
    """
    signal, other = speech_power(speech), speech_power(disturbance)
    if signal == 0.0 or other == 0.0:
        return speech
    gain = np.sqrt(signal / other * 10 ** (-snr_db / 10))
    return within_full_scale(speech + np.float32(gain) * disturbance)


def within_full_scale(samples: Waveform) -> Waveform:
    """Return float32 [samples], scaled down if a magnitude exceeds 1."""
    peak = float(np.abs(samples).max(initial=0.0))
    return (samples / np.float32(peak) if peak > 1 else samples).astype(np.float32)


def of_length(samples: Waveform, count: Samples, start: Samples = 0) -> Waveform:
    """Return float32 [count] of a sound [samples] that is repeated without end, from `start` on; silence for none."""
    if not len(samples):
        return np.zeros(count, np.float32)
    return np.resize(np.roll(samples, -(start % len(samples))), count).astype(np.float32)
