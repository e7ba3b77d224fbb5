"""Channels of a recording: whether they differ, and which of them is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from elp_core.errors import AudioError
from elp_core.types import Decibels, Hertz

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Channel = int | Literal["mix", "same", "left", "right"]
"""What is taken of a file: a channel by its number (from 0), the mean of all channels, or, if they differ, nothing
(``same``), the left or the right one of two."""

EQUAL_BELOW_DB: Decibels = -30.0
"""Channels are equal if their difference is this far below the louder one, …"""
EQUAL_FLOOR_DB: Decibels = -60.0
"""… or below this level of full scale, in every tenth of a second."""
_WINDOWS = 256


def take_channel(samples: npt.NDArray[np.float32], rate: Hertz, channel: Channel, name: str) -> npt.NDArray[np.float32]:
    """Return float32 [frames] of float32 [frames, channels] at `rate` Hz; messages call the recording `name`.

    Channels that do not differ are one sound, and their mean is taken, unless a number names one.

    Raises:
        AudioError: `no_channel` (there is no channel of this number) or `channels_differ` (and none was chosen, or the
            left one of more than two).
    """
    count = samples.shape[1]
    if isinstance(channel, int):
        if not 0 <= channel < count:
            raise AudioError(
                "no_channel", f"{name} has {count} channel(s), counted from 0; channel {channel} is not one"
            )
        return samples[:, channel]
    if channel == "mix" or not channels_differ(samples, rate):
        return samples[:, 0] if count == 1 else samples.mean(axis=1, dtype=samples.dtype)
    if channel == "same" or count != 2:
        what = "left, right or mix" if count == 2 else "mix"
        raise AudioError(
            "channels_differ",
            f"{name} has {count} channels that differ, and they are not mixed unasked; choose {what} with --channel, "
            "or name one by its number (0 is the left) as the clip's channel in the manifest",
        )
    return samples[:, 0 if channel == "left" else 1]


def channels_differ(samples: npt.NDArray[np.float32], rate: Hertz) -> bool:
    """Return whether float32 [frames, channels] at `rate` Hz holds different sounds.

    In every tenth of a second, the difference between a channel and the first one has at most 1/1000 of the energy of
    the louder one (-30 dB), or is below -60 dB of full scale: lossy codecs and converters explain that much. Opposite
    phase differs.
    """
    # here: `elp predict` with a server needs the names of channels only
    import numpy as np

    if samples.shape[1] == 1 or not len(samples):
        return False
    size = max(rate // 10, 1)
    for start in range(0, len(samples), size * _WINDOWS):
        part = samples[start : start + size * _WINDOWS]
        if np.array_equal(part[:, 1:], np.broadcast_to(part[:, :1], part[:, 1:].shape)):
            continue
        starts = np.arange(0, len(part), size)
        lengths = np.minimum(size, len(part) - starts)[:, None]
        energies = np.add.reduceat(np.square(part, dtype=np.float64), starts, axis=0) / lengths
        apart = np.square(part[:, 1:] - part[:, :1], dtype=np.float64)
        apart = np.add.reduceat(apart, starts, axis=0) / lengths
        louder = np.maximum(energies[:, 1:], energies[:, :1])
        if (apart > np.maximum(10 ** (EQUAL_FLOOR_DB / 10), louder * 10 ** (EQUAL_BELOW_DB / 10))).any():
            return True
    return False
