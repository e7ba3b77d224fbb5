"""Confidence intervals from bootstrap draws that stay honest with few blocks and with rare errors.

The percentile interval alone is too narrow where blocks are few, where the harm sits with few of them, and where
errors are rare: cases the gate meets every day. So four are formed and the widest counts
(`docs/explanation/gate.md` has the reasons and the measured rates).
With G blocks, t the quantile of Student's distribution with G − 1 degrees of freedom,
and se the standard deviation of the draws times √(G/(G−1)), grown to what it would be at the declared limit (errors
bring their own variance):

1. the percentile interval with expanded tails, Φ(−t·√(G/(G−1))) instead of α/2 (Hesterberg 2015, "What teachers should
   know about the bootstrap", The American Statistician 69);
2. value ± t · se;
3. the same moved by se · γ/6 · (1 + 2t²), γ the skewness of the draws (Johnson 1978, "Modified t tests and confidence
   intervals for asymmetrical populations", JASA 73);
4. value ± t' · floor: the standard error the metric would have at the declared limit, t' over clips. Errors are whole
   numbers: where none was seen the draws do not vary, yet three clips do not show a small rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import stdtr, stdtrit

from elp_core.metrics.scores import FloatArray

MAX_FURTHER = 10_000_000
"""More further blocks than this are reported as no number at all."""


@dataclass(frozen=True)
class Interval:
    """A value and its two-sided interval. Bounds are infinite where one block (or none) says nothing of the spread."""

    value: float
    lower: float
    upper: float
    error: float
    """Standard error from the draws, with √(G/(G−1)) and growth."""
    floor: float
    """Standard error at the declared limit (null model)."""
    blocks: int
    items: int
    """Independent pieces behind the floor: clips."""
    confidence: float


def interval(
    value: float,
    draws: FloatArray,
    blocks: int,
    floor: float,
    items: int,
    confidence: float = 0.95,
    growth: float = 1.0,
) -> Interval:
    """The interval of `value` given its bootstrap draws [R]; draws that are NaN (an unusable resample) are left out.

    `growth` is how much larger the standard error would be, were the value at the declared limit.
    """
    usable = draws[np.isfinite(draws)]
    if blocks < 2 or len(usable) < 2 or not math.isfinite(floor):
        return Interval(value, -math.inf, math.inf, math.nan, floor, blocks, items, confidence)
    stretch = math.sqrt(blocks / (blocks - 1))
    error = round(float(usable.std()) * stretch * growth, 12)
    t = student(0.5 + confidence / 2, blocks - 1)
    tail = NormalDist().cdf(-t * stretch)
    low, high = np.quantile(usable, [tail, 1.0 - tail])
    half = _half(error, blocks, floor, items, confidence)
    shift = error * _skewness(usable, blocks) / 6.0 * (1.0 + 2.0 * t * t)
    lower = min(float(low), value - half, value + shift - t * error)
    upper = max(float(high), value + half, value + shift + t * error)
    return Interval(value, round(lower, 10), round(upper, 10), error, floor, blocks, items, confidence)


def student(probability: float, df: int) -> float:
    """The value below which `probability` of Student's t distribution with `df` degrees of freedom lies."""
    return float(stdtrit(df, probability))


def binomial_error(rate: float, tokens: float) -> float:
    """Standard error of a share over `tokens` independent tokens whose true value is `rate` (at least one token)."""
    if tokens <= 0:
        return math.inf
    bounded = min(max(rate, 1.0 / tokens), 1.0)
    return round(math.sqrt(bounded * (1.0 - bounded) / tokens), 12)


def exceeds(found: Interval, target: float) -> float:
    """One-sided p-value of "the true value is at most `target`": small where it is clearly above."""
    if found.blocks < 2 or not math.isfinite(found.error):
        return 1.0
    error = max(found.error, found.floor)
    if error == 0.0:
        return 0.0 if found.value > target else 1.0
    return round(1.0 - float(stdtr(found.blocks - 1, (found.value - target) / error)), 10)


def further_blocks(found: Interval, target: float) -> int | None:
    """How many more blocks like those seen would put `target` outside the interval, the value staying as observed.

    None where the value lies on the target, or no reasonable number is enough.
    """
    gap = abs(target - found.value)
    if gap == 0.0 or not math.isfinite(found.floor) or found.blocks == 0:
        return None
    # infinite bounds (one block) say nothing: the floor alone then gives the least number
    error = found.error if math.isfinite(found.error) else 0.0
    half = _half(error, found.blocks, found.floor, found.items, found.confidence) if found.blocks > 1 else 0.0
    seen = found.upper - found.value if target > found.value else found.value - found.lower
    excess = seen / half if half > 0.0 and math.isfinite(seen) else 1.0

    def enough(blocks: int) -> bool:
        shrink = math.sqrt(found.blocks / blocks) * max(1.0, excess)
        items = max(blocks, round(found.items * blocks / found.blocks))
        return _half(error * shrink, blocks, found.floor * shrink, items, found.confidence) < gap

    low, high = max(1, found.blocks), max(2, found.blocks + 1)
    while not enough(high):
        low, high = high, high * 2
        if high > MAX_FURTHER:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - found.blocks


def _skewness(draws: FloatArray, blocks: int) -> float:
    """Skewness of the draws, with the factor that makes up for a small sample of blocks (Joanes & Gill 1998, G1)."""
    factor = math.sqrt(blocks * (blocks - 1)) / (blocks - 2) if blocks > 2 else 1.0
    centred = draws - draws.mean()
    spread = float(np.mean(centred**2))
    return factor * float(np.mean(centred**3)) / spread**1.5 if spread > 0.0 else 0.0


def _half(error: float, blocks: int, floor: float, items: int, confidence: float) -> float:
    level = 0.5 + confidence / 2
    return max(student(level, blocks - 1) * error, student(level, max(1, items - 1)) * floor)
