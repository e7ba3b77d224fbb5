"""Confidence intervals from bootstrap draws that keep their level with few blocks and with rare errors.

The percentile interval alone is too narrow if there are few blocks, if most of the harm is in a few of them, or if
errors are rare. The gate meets these cases every day. Therefore four intervals are formed and the widest is used
(`docs/gate.md` has the reasons and the measured rates). Let G be the number of blocks, t the quantile of Student's
distribution with G − 1 degrees of freedom, and se the standard deviation of the draws times √(G/(G−1)), increased to
the value that it would have at the declared limit (more errors bring more variance):

1. the percentile interval with expanded tails: Φ(−t·√(G/(G−1))) instead of α/2 (Hesterberg 2015, "What teachers should
   know about the bootstrap", The American Statistician 69);
2. value ± t · se;
3. interval 2 shifted by se · γ/6 · (1 + 2t²), with γ the skewness of the draws (Johnson 1978, "Modified t tests and
   confidence intervals for asymmetrical populations", JASA 73);
4. value ± t' · floor: the standard error of the metric at the declared limit, with t' over clips. Errors are whole
   numbers: if no error was seen, the draws do not vary, but three clips do not prove a small rate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import stdtr, stdtrit

from elp_core.metrics.scores import FloatArray
from pipelines.number_text import shown_bounds
from pipelines.registry.verdict import Outcome

MAX_FURTHER = 10_000_000
"""If more further blocks than this are needed, no number is reported."""
LIMIT_WORDS = {"passed": "within", "failed": "above", "undecided": "not clearly within"}
"""How a sentence describes a value and its limit, by outcome."""


@dataclass(frozen=True)
class Interval:
    """A value and its two-sided interval. The bounds are infinite if fewer than two blocks were seen."""

    value: float
    lower: float
    upper: float
    error: float
    """Standard error from the draws, with √(G/(G−1)) and growth."""
    floor: float
    """Standard error at the declared limit (null model)."""
    blocks: int
    items: int
    """Independent observations behind the floor: clips."""
    confidence: float

    def judge(self, limit: float) -> Outcome:
        """Return whether the true value is shown to be at most `limit` (passed), shown to be above it, or neither."""
        if self.upper <= limit:
            return "passed"
        return "failed" if self.lower > limit else "undecided"

    @property
    def text(self) -> str:
        """Describe the interval of a share in per cent."""
        if not math.isfinite(self.upper):
            return "the spread is unknown"
        low, high = shown_bounds(self.value, self.lower, self.upper)
        return f"between {100 * low:.2f} and {100 * high:.2f} %"

    @property
    def signed_text(self) -> str:
        """Describe the interval of a difference of shares in percentage points."""
        if not (math.isfinite(self.lower) and math.isfinite(self.upper)):
            return "the spread is unknown"
        # two speakers give bounds far beyond 100 points; only a change that is larger itself can be outside
        low, high = max(-1.0, self.lower), min(1.0, self.upper)
        return f"between {100 * min(low, self.value):+.2f} and {100 * max(high, self.value):+.2f}".replace("-", "−")


def combine(parts: Sequence[Outcome]) -> Outcome:
    """Return failed if one part failed, passed if all parts passed, and undecided otherwise."""
    return "failed" if "failed" in parts else "undecided" if "undecided" in parts else "passed"


def confidence_interval(
    value: float,
    draws: FloatArray,
    blocks: int,
    floor: float,
    items: int,
    confidence: float = 0.95,
    growth: float = 1.0,
) -> Interval:
    """Return the interval of `value` from its bootstrap draws [R]. Draws that are NaN (unusable resamples) are ignored.

    `growth` is the factor by which the standard error would be larger if the value were at the declared limit.
    """
    usable = draws[np.isfinite(draws)]
    if blocks < 2 or len(usable) < 2 or not math.isfinite(floor):
        return Interval(value, -math.inf, math.inf, math.nan, floor, blocks, items, confidence)
    stretch = math.sqrt(blocks / (blocks - 1))
    # rounding makes verdicts equal on processors whose sums differ in the last bits
    error = round(float(usable.std()) * stretch * growth, 12)
    t = student(0.5 + confidence / 2, blocks - 1)
    tail = NormalDist().cdf(-t * stretch)
    low, high = np.quantile(usable, [tail, 1.0 - tail])
    half = half_width(error, blocks, floor, items, confidence)
    shift = error * _skewness(usable, blocks) / 6.0 * (1.0 + 2.0 * t * t)
    lower = min(float(low), value - half, value + shift - t * error)
    upper = max(float(high), value + half, value + shift + t * error)
    return Interval(value, round(lower, 10), round(upper, 10), error, floor, blocks, items, confidence)


def student(probability: float, df: int) -> float:
    """Return the quantile of Student's t distribution with `df` degrees of freedom at `probability`."""
    return float(stdtrit(df, probability))


def binomial_error(rate: float, tokens: float) -> float:
    """Return the standard error of a share over `tokens` independent tokens whose true value is `rate`.

    The rate counts as at least one token, because an observed rate of zero does not prove a standard error of zero.
    """
    if tokens <= 0:
        return math.inf
    bounded = min(max(rate, 1.0 / tokens), 1.0)
    return round(math.sqrt(bounded * (1.0 - bounded) / tokens), 12)


def p_value_above(found: Interval, target: float) -> float:
    """Return the one-sided p-value of "the true value is at most `target`": small if the value is clearly above."""
    if found.blocks < 2 or not math.isfinite(found.error):
        return 1.0
    error = max(found.error, found.floor)
    if error == 0.0:
        return 0.0 if found.value > target else 1.0
    return round(1.0 - float(stdtr(found.blocks - 1, (found.value - target) / error)), 10)


def further_blocks(found: Interval, target: float) -> int | None:
    """Return how many more such blocks would put `target` outside the interval if the observed value stayed the same.

    Return None if the value is on the target, or if no reasonable number is enough.
    """
    gap = abs(target - found.value)
    if gap == 0.0 or not math.isfinite(found.floor) or found.blocks == 0:
        return None
    # one block has infinite bounds and no usable error: the floor alone then gives the smallest possible number
    error = found.error if math.isfinite(found.error) else 0.0
    half = half_width(error, found.blocks, found.floor, found.items, found.confidence) if found.blocks > 1 else 0.0
    seen = found.upper - found.value if target > found.value else found.value - found.lower
    excess = seen / half if half > 0.0 and math.isfinite(seen) else 1.0

    def enough(blocks: int) -> bool:
        shrink = math.sqrt(found.blocks / blocks) * max(1.0, excess)
        items = max(blocks, round(found.items * blocks / found.blocks))
        return half_width(error * shrink, blocks, found.floor * shrink, items, found.confidence) < gap

    low, high = found.blocks, found.blocks + 1
    while not enough(high):
        low, high = high, high * 2
        if high > MAX_FURTHER:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - found.blocks


def _skewness(draws: FloatArray, blocks: int) -> float:
    """Return the skewness of the draws, corrected for a small sample of blocks (Joanes & Gill 1998, G1)."""
    factor = math.sqrt(blocks * (blocks - 1)) / (blocks - 2) if blocks > 2 else 1.0
    centred = draws - draws.mean()
    variance = float(np.mean(centred**2))
    return factor * float(np.mean(centred**3)) / variance**1.5 if variance > 0.0 else 0.0


def half_width(error: float, blocks: int, floor: float, items: int, confidence: float) -> float:
    """Return half the width of the symmetric intervals (2 and 4): the wider one, from their standard errors."""
    level = 0.5 + confidence / 2
    return max(student(level, blocks - 1) * error, student(level, max(1, items - 1)) * floor)
