"""The learning curve: error against minutes of training audio, and what more minutes would give.

Error rates of neural networks fall with the amount of data about as a power law, ``error = scale · minutes ** -b``
(Hestness et al. 2017, arXiv 1712.00409). It is fitted as a straight line in logarithms by least squares; its prediction
interval is that of linear regression, so three or four points give a wide one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

FLAT = 0.9
"""Where twice the audio leaves more of the error than this, more audio is hardly worth its recording."""
POINT = 0.01
"""Error that a doubling of the audio has to take off to be worth its recording: one point."""
REACH = 50
"""Beyond this many times the audio there is, the line is not read off."""
MIN_POINTS = 3
"""Fewer points leave no residual to judge the line by."""


@dataclass(frozen=True)
class PowerLaw:
    """A fitted learning curve over N points."""

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
        """Whether the error falls with more audio beyond chance (one-sided, 95 %)."""
        return self.exponent - _student(0.95, self.points - 2) * self.exponent_error > 0

    @property
    def flat(self) -> bool:
        """Whether twice the audio leaves `FLAT` of the error or more, beyond chance (one-sided, 95 %)."""
        return bool(2 ** -(self.exponent + _student(0.95, self.points - 2) * self.exponent_error) >= FLAT)


@dataclass(frozen=True)
class Prediction:
    """The error at an amount of audio, with a two-sided 95 % prediction interval."""

    minutes: float
    value: float
    lower: float
    upper: float


def fit(minutes: Sequence[float], errors: Sequence[float], smallest: float) -> PowerLaw | None:
    """The power law of N points; None where there are fewer than `MIN_POINTS` different amounts of audio.

    Args:
        minutes: training audio, more than 0.
        errors: the metric there, a share from 0 up.
        smallest: what an error of 0 counts as, such as half an error over all words: it has no logarithm.
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


def predict(law: PowerLaw, minutes: float) -> Prediction:
    """The error at `minutes` of training audio, as for one further training."""
    x = math.log(minutes)
    middle = math.log(law.scale) - law.exponent * x
    half = (
        _student(0.975, law.points - 2)
        * law.spread
        * math.sqrt(1.0 + 1.0 / law.points + (x - law.centre) ** 2 / law.width)
    )
    return Prediction(minutes, math.exp(middle), math.exp(middle - half), math.exp(middle + half))


def minutes_for(law: PowerLaw, error: float) -> float | None:
    """Minutes at which the curve reaches `error`; None where it does not fall."""
    if law.exponent <= 0:
        return None
    return math.exp(math.log(law.scale / error) / law.exponent)


def worth_until(law: PowerLaw, gain: float) -> float:
    """Minutes up to which a doubling of the audio takes `gain` or more off the error of a curve that falls."""
    return math.exp(math.log(law.scale * (1 - 2**-law.exponent) / gain) / law.exponent)


def advice(law: PowerLaw | None, present: float, error: float) -> str:
    """What the curve says about recording more, in a sentence or two.

    Args:
        law: the fitted curve.
        present: minutes of training audio there are.
        error: the metric measured there.
    """
    if law is None:
        return f"Fewer than {MIN_POINTS} amounts of audio were tried; nothing can be said about more of it."
    if law.flat:
        return f"Twice the audio would leave {100 * FLAT:.0f} % of the error or more: more of the same is not worth it."
    if not law.falls:
        return "These runs cannot tell whether more audio helps: they scatter too much. More shares would tell more."
    doubled = predict(law, 2 * present)
    words = (
        f"Each doubling of the audio leaves {100 * 2**-law.exponent:.0f} % of the error. With {2 * present:.0f} "
        f"minutes instead of {present:.0f} it should be {100 * doubled.value:.1f} % "
        f"(95 % prediction interval {100 * doubled.lower:.1f} to {100 * doubled.upper:.1f} %)."
    )
    enough = worth_until(law, POINT)
    if enough <= present:
        words += " Already a doubling takes less than one point off: more of the same is hardly worth it."
    elif enough < REACH * present:
        words += f" Up to about {enough:.0f} minutes a doubling takes one point or more off; beyond, less."
    else:
        words += (
            f" A doubling goes on taking one point or more off as far as the line can be read, {REACH} times the audio."
        )
    halved = minutes_for(law, error / 2) if error > 0 else None
    if halved is not None and present < halved < REACH * present:
        words += f" Half of today's error needs about {halved:.0f} minutes in all."
    return words


def _student(probability: float, df: int) -> float:
    return float(stdtrit(df, probability))
