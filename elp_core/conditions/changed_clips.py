"""Clips under a condition of the sweep, and how far a condition changes the sound."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from elp_core.audio import Waveform, encode_flac, load
from elp_core.conditions.disturbances import other_of
from elp_core.conditions.families import SweepFamily
from elp_core.types import Clip, Decibels, Samples

_WINDOW: Samples = 512
_HOP: Samples = 256
_FLOOR_DB: Decibels = 50.0
"""Below the loudest value of the clip, spectra count as this: what is lower is not heard and has no bounds in dB."""


def changed_clip(clip: Clip, family: SweepFamily, severity: int, others: Sequence[Clip]) -> Clip:
    """Return the clip under a family of the sweep at a severity from 1; everything but the audio is unchanged.

    The change is a function of the clip's id and the family, and of `others` if other voices are part of it: at each
    severity, the same room, noise or gaps are there, only stronger.
    """
    seed = hashlib.sha256(f"{family.name}\n{clip.id}".encode()).digest()[:8]
    rng = np.random.default_rng(int.from_bytes(seed, "big"))
    changed = family.apply(load(clip.audio), severity - 1, other_of(clip, others), rng)
    return replace(clip, audio=encode_flac(changed))


def spectral_distance(clip: Clip, changed: Clip) -> Decibels:
    """Return the log-spectral distance between a clip and its changed copy of the same length.

    It is the mean over frames of the root mean square, over frequencies, of the difference of both power spectra in dB
    (Gray and Markel 1976, "Distance measures for speech processing").
    """
    before, after = _spectra(load(clip.audio)), _spectra(load(changed.audio))
    floor = max(before.max(), after.max()) - _FLOOR_DB
    distance = np.maximum(before, floor) - np.maximum(after, floor)
    return float(np.sqrt(np.mean(distance**2, axis=1)).mean())


def _spectra(samples: Waveform) -> npt.NDArray[np.float64]:
    """Return power spectra in dB, float64 [frames, frequencies]."""
    padded = np.pad(samples, (0, max(0, _WINDOW - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    spectra: npt.NDArray[np.float64] = 10 * np.log10(np.maximum(power, 1e-12))
    return spectra
