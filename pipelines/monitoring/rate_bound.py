"""Bounds on a mean that hold at every look at once: the hedged capital process of Waudby-Smith and Ramdas (2023).

Estimating means of bounded random variables by betting, JRSS B 86(1), arXiv 2010.09686, theorem 3. For each possible
mean m, capital bets that the values are higher than m, and capital that they are lower. If m is the mean, neither grows
on average, so the means whose capital ever reached 1/alpha are excluded with an error of alpha at most, however often
somebody looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_GRID = 2001
"""Possible means from 0 to 1."""
_LARGEST_BET = 0.5
"""Share of the capital that a bet can lose at most."""


@dataclass(frozen=True)
class RateBound:
    """A mean of values in [0, 1], with an interval that holds at every look."""

    mean: float
    low: float
    high: float
    sessions: int
    steady: bool = True
    """False if no single mean fits all values: the mean changed meanwhile, and the interval is 0 to 1."""


def bound_mean(values: Sequence[float], alpha: float = 0.05) -> RateBound:
    """Return the mean of values in [0, 1], in the order in which they came, with its interval of 1 - alpha.

    The values of a longer sequence narrow the interval of its beginning, and never leave it.

    Raises:
        ValueError: There is no value, or one is outside of [0, 1].
    """
    if not values or not all(0 <= value <= 1 for value in values):
        raise ValueError(f"expected one value or more in [0, 1], got {list(values)[:5]}")
    grid = np.linspace(0.0, 1.0, _GRID)
    up, down = np.zeros(_GRID), np.zeros(_GRID)
    kept = np.ones(_GRID, dtype=bool)
    # mean and variance of the values before, with a half and a quarter as their first guess
    total, spread = 0.5, 0.25
    with np.errstate(divide="ignore"):
        most_up, most_down = _LARGEST_BET / grid, _LARGEST_BET / (1 - grid)
    for number, value in enumerate(values, start=1):
        bet = math.sqrt(2 * math.log(2 / alpha) / (spread * math.log(1 + number)))
        up += np.log1p(np.minimum(bet, most_up) * (value - grid))
        down += np.log1p(-np.minimum(bet, most_down) * (value - grid))
        kept &= np.maximum(up, down) < math.log(2 / alpha)
        total += value
        spread += (value - total / (number + 1)) ** 2
    mean = math.fsum(values) / len(values)
    inside = grid[kept]
    if not len(inside):
        return RateBound(mean, 0.0, 1.0, len(values), steady=False)
    low, high = float(inside.min()), float(inside.max())
    step = 1 / (_GRID - 1)
    return RateBound(mean, max(0.0, low - step), min(1.0, high + step), len(values))
