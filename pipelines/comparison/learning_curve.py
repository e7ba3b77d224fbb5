"""The learning curve: the error for an amount of training audio, and what more audio would give.

Error rates of neural networks fall with the amount of data approximately as a power law, ``error = scale · minutes **
-b`` (Hestness et al. 2017, arXiv 1712.00409). It is fitted as a straight line in logarithms by least squares. Its
prediction interval is that of linear regression, so three or four points give a wide one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from pipelines.number_text import shown_bounds

FLAT = 0.9
"""If twice the audio leaves more of the error than this share, more audio is hardly worth recording."""
POINT = 0.01
"""A doubling of the audio must remove this much error to be worth recording: one point."""
REACH = 50
"""The line is not extrapolated beyond this many times the present audio."""
MIN_POINTS = 3
"""Fewer points leave no residual for an error of the line."""


@dataclass(frozen=True)
class PowerLaw:
    """A learning curve fitted to N points."""

    scale: float
    """Error at one minute."""
    exponent: float
    """How fast the error falls: twice the audio leaves ``2 ** -exponent`` of it."""
    exponent_error: float
    """Standard error of the exponent."""
    spread: float
    """Standard deviation of the residuals, in natural logarithms."""
    centre: float
    """Mean of the logarithms of the minutes."""
    width: float
    """Their sum of squares about the mean."""
    points: int

    @property
    def falls(self) -> bool:
        """Return whether the error falls with more audio beyond chance (one-sided, 95 %)."""
        return self.exponent > self._bound

    @property
    def flat(self) -> bool:
        """Return whether twice the audio leaves `FLAT` of the error or more, beyond chance (one-sided, 95 %)."""
        return bool(2 ** -(self.exponent + self._bound) >= FLAT)

    @property
    def _bound(self) -> float:
        return float(stdtrit(self.points - 2, 0.95)) * self.exponent_error


@dataclass(frozen=True)
class PredictedError:
    """The error at an amount of audio, with a two-sided 95 % prediction interval."""

    minutes: float
    value: float
    lower: float
    upper: float


def fit_power_law(minutes: Sequence[float], errors: Sequence[float], smallest: float) -> PowerLaw | None:
    """Return the power law through N points; None for fewer than `MIN_POINTS` different amounts of audio.

    `smallest` replaces an error of 0, which has no logarithm; for example half an error over all words or characters.
    """
    if len(set(minutes)) < MIN_POINTS:
        return None
    x = np.log(np.asarray(minutes, np.float64))
    y = np.log(np.maximum(np.asarray(errors, np.float64), smallest))
    centre, width = float(x.mean()), float(((x - x.mean()) ** 2).sum())
    slope = float(((x - centre) * (y - y.mean())).sum() / width)
    residuals = y - y.mean() - slope * (x - centre)
    spread = math.sqrt(float((residuals**2).sum()) / (len(x) - 2))
    scale = math.exp(float(y.mean()) - slope * centre)
    return PowerLaw(scale, -slope, spread / math.sqrt(width), spread, centre, width, len(x))


def predict_error(law: PowerLaw, minutes: float) -> PredictedError:
    """Return the error after `minutes` of training audio, as for one further training."""
    x = math.log(minutes)
    middle = math.log(law.scale) - law.exponent * x
    deviation = law.spread * math.sqrt(1.0 + 1.0 / law.points + (x - law.centre) ** 2 / law.width)
    half = float(stdtrit(law.points - 2, 0.975)) * deviation
    return PredictedError(minutes, math.exp(middle), math.exp(middle - half), math.exp(middle + half))


def minutes_for(law: PowerLaw, error: float) -> float | None:
    """Return the minutes at which the curve reaches `error`; None if it does not fall."""
    return math.exp(math.log(law.scale / error) / law.exponent) if law.exponent > 0 else None


def worth_until(law: PowerLaw, gain: float) -> float:
    """Return the minutes up to which a doubling of the audio removes `gain` or more of the error; the curve falls."""
    return math.exp(math.log(law.scale * (1 - 2**-law.exponent) / gain) / law.exponent)


def curve_advice(law: PowerLaw | None, present: float, error: float) -> str:
    """Return in a sentence or two what the curve predicts for more audio than the present minutes, with this error."""
    if law is None:
        return f"Fewer than {MIN_POINTS} amounts of audio were trained on; this shows nothing about more audio."
    if law.flat:
        return f"Twice the audio would leave {100 * FLAT:.0f} % of the error or more: more of the same is not worth it."
    if not law.falls:
        return "These runs vary too much to show whether more audio helps. More shares would show it."
    doubled = predict_error(law, 2 * present)
    low, high = shown_bounds(doubled.value, doubled.lower, doubled.upper)
    text = (
        f"Each doubling of the audio leaves {100 * 2**-law.exponent:.0f} % of the error. With {2 * present:.0f} "
        f"minutes instead of {present:.0f} it should be {100 * doubled.value:.1f} % "
        f"(95 % prediction interval {100 * low:.1f} to {100 * high:.1f} %)."
    )
    enough = worth_until(law, POINT)
    if enough <= present:
        text += " Already one doubling removes less than one point: more of the same is hardly worth it."
    elif enough < REACH * present:
        text += f" Up to about {enough:.0f} minutes a doubling removes one point or more; beyond that, less."
    else:
        text += f" A doubling removes one point or more as far as the curve is valid, {REACH} times the audio."
    halved = minutes_for(law, error / 2) if error > 0 else None
    if halved is not None and present < halved < REACH * present:
        text += f" Half of the present error needs about {halved:.0f} minutes in total."
    return text
