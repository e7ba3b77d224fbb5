"""How large a golden set has to be before recording: the gate's own interval, and the chance that it shows a result.

The gate passes a first version if the upper end of its interval is at most the limit. The true error rate must be below
the limit for that: at the limit itself, no golden set could show it. The chance (power) follows from the spread that is
expected between speakers and within them; `tests/pipelines/reporting/test_sample_size.py` compares it with the gate.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from pipelines.gating.interval import binomial_error, half_width

MOST_BLOCKS = 5_000
"""A plan with more speakers, or clips, is no plan."""
CLUSTERED = 1.5
"""Errors of one clip occur together: their variance is so many times that of independent errors."""


@dataclass(frozen=True)
class GoldenDesign:
    """What a golden set is made of, and what is expected on it."""

    rate: float
    """Expected error rate, a share."""
    limit: float
    """What the upper end of the interval must not exceed."""
    spread: float
    """Standard deviation of the speakers' own rates, as a share of `rate`; 0 if clips are resampled."""
    clips: int
    """Of each speaker; 1 if clips are resampled."""
    tokens: float
    """Words, characters, answers or target trials of a clip that can each be right or wrong."""
    confidence: float = 0.95

    def power(self, blocks: int) -> float:
        """Return the chance that a golden set of so many speakers (or clips) shows the rate to be within the limit."""
        if blocks < 2:
            return 0.0
        tokens = blocks * self.clips * self.tokens
        within = CLUSTERED * self.rate * (1 - self.rate) / tokens
        error = math.sqrt((self.spread * self.rate) ** 2 / blocks + within)
        half = half_width(error, blocks, binomial_error(self.limit, tokens), blocks * self.clips, self.confidence)
        return NormalDist().cdf((self.limit - self.rate - half) / error) if error else float(half < self.limit)


def least_blocks(design: GoldenDesign, power: float) -> int | None:
    """Return the smallest number of speakers (or clips) with this power or more; None beyond `MOST_BLOCKS`."""
    if design.power(MOST_BLOCKS) < power:
        return None
    low, high = 1, MOST_BLOCKS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if design.power(middle) >= power else (middle, high)
    return high
