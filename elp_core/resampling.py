"""Resample to another rate: by torchaudio for the usual rates, by soxr if torchaudio would need a large kernel."""

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from elp_core.types import SAMPLE_RATE, Hertz

_KERNEL_VALUES = 2**22
"""Largest kernel of torchaudio that is used. It has about the product of both rates over their common divisor squared:
16,001 Hz to 16 kHz needs a quarter of a billion values, 44.1 kHz 76,000."""


def resample(samples: npt.NDArray[np.float32], rate: Hertz, to: Hertz = SAMPLE_RATE) -> npt.NDArray[np.float32]:
    """Resample float32 [samples] from `rate` to `to` Hz, by a band-limited sinc kernel; any two rates above 0.

    The ids of clips depend on the exact samples: which of the two implementations resamples a rate must not change.
    """
    if rate == to:
        return samples
    divisor = math.gcd(rate, to)
    if (rate // divisor) * (to // divisor) > _KERNEL_VALUES:
        return _by_soxr(samples, rate, to)
    import torch  # here: it loads slowly, and clips at 16 kHz are measured without it

    with torch.inference_mode():
        resampled: npt.NDArray[np.float32] = _resampler(rate, to)(torch.from_numpy(samples)).numpy()
    return resampled


def _by_soxr(samples: npt.NDArray[np.float32], rate: Hertz, to: Hertz) -> npt.NDArray[np.float32]:
    import soxr

    # as many samples as torchaudio gives
    length = math.ceil(len(samples) * to / rate)
    resampled = np.zeros(length, np.float32)
    given = soxr.resample(samples, rate, to)[:length]
    resampled[: len(given)] = given
    return resampled


@functools.lru_cache(maxsize=32)
def _resampler(rate: Hertz, to: Hertz) -> Any:
    from elp_core.private_names import torchaudio

    return torchaudio().transforms.Resample(rate, to)
