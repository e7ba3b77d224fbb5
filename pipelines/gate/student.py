"""Student's t distribution for whole degrees of freedom (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4)."""

from __future__ import annotations

import math
from statistics import NormalDist

NORMAL_FROM = 2_000
"""Degrees of freedom from which the normal distribution is used: 97.5 % quantiles then differ by 0.001."""


def cdf(t: float, df: int) -> float:
    """Probability that a t variable with `df` >= 1 degrees of freedom is at most `t`."""
    if df >= NORMAL_FROM:
        return NormalDist().cdf(t)
    angle = math.atan2(t, math.sqrt(df))
    cosine = math.cos(angle)
    odd = df % 2 == 1
    term = cosine if odd else 1.0
    total = 0.0 if df == 1 else term
    for k in range(3 if odd else 2, df - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    central = 2.0 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return min(1.0, max(0.0, 0.5 + 0.5 * central))


def quantile(probability: float, df: int) -> float:
    """The t below which `probability` (between 0 and 1) of the distribution lies."""
    if df >= NORMAL_FROM:
        return NormalDist().inv_cdf(probability)
    if probability < 0.5:
        return -quantile(1.0 - probability, df)
    low, high = 0.0, 1.0
    while cdf(high, df) < probability:
        high *= 2.0
    while high - low > 1e-10 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if cdf(middle, df) < probability else (low, middle)
    return 0.5 * (low + high)
