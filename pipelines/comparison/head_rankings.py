"""Whether the order of the methods changes with the head of the task.

"Yes" needs two methods that change their places: under one head the first is shown to be better, under the other the
second, each by an interval that excludes zero. "No" needs a rank correlation (Kendall's tau, 1938) whose interval is
above `AGREE`. Everything else is undecided. Resampling adds noise to the order, so the interval of tau lies low: "no"
is said seldom rather than wrongly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from elp_core.metrics.scores import FloatArray
from pipelines.comparison.seed_resampling import SeedDraws

AGREE = 0.5
"""At a tau of 0.5 three of four pairs of methods have the same order under both heads."""
Answer = Literal["yes", "no", "undecided"]


@dataclass(frozen=True)
class HeadChange:
    """The order of the methods under one head and under another."""

    first: str
    second: str
    """Names of the heads."""
    tau: float
    lower: float
    upper: float
    """Kendall's rank correlation of the two orders, and its interval."""
    swapped: tuple[tuple[str, str], ...]
    """Methods a, b: a is better under the first head and worse under the second, both beyond chance."""
    turned: int
    """Pairs whose measured order differs, beyond chance or not."""
    pairs: int

    @property
    def answer(self) -> Answer:
        """Return whether the order changes."""
        return "yes" if self.swapped else "no" if self.lower > AGREE else "undecided"

    @property
    def text(self) -> str:
        """The answer with its evidence, a sentence."""
        swaps = ", ".join(
            f"{a} is better than {b} with {self.first} and worse with {self.second}" for a, b in self.swapped
        )
        evidence = swaps or "no two methods change their places beyond chance"
        return (
            f"The ranking changes with the head ({self.first} or {self.second}): {self.answer}. {self.turned} of "
            f"{self.pairs} pairs have another order, rank correlation {self.tau:.2f} ({self.lower:.2f} … "
            f"{self.upper:.2f}); {evidence}."
        )


def head_change(names: Sequence[str], heads: tuple[str, str], draws: tuple[SeedDraws, SeedDraws]) -> HeadChange | None:
    """Compare the order of the methods `names` under two heads; None for fewer than three methods.

    `draws` have the methods in this order, on the same golden set and from the same resamples.
    """
    if len(names) < 3:
        return None
    pairs = list(combinations(range(len(names)), 2))
    signs = [_signs(one.values.mean(axis=1, keepdims=True), pairs) for one in draws]
    resampled = [_signs(one.both, pairs) for one in draws]
    tail = (1 - draws[0].policy.confidence) / 2
    low, high = np.quantile(_tau(*resampled), [tail, 1 - tail])
    tau = float(_tau(*signs)[0])
    swapped = []
    for a, b in pairs:
        one, other = (draw.relation(a, b) for draw in draws)
        if one * other < 0:
            swapped.append((names[a], names[b]) if one < 0 else (names[b], names[a]))
    turned = int((signs[0] * signs[1] < 0).sum())
    bounds = (round(min(float(low), tau), 6), round(max(float(high), tau), 6))
    return HeadChange(*heads, round(tau, 6), *bounds, tuple(swapped), turned, len(pairs))


def _signs(values: FloatArray, pairs: Sequence[tuple[int, int]]) -> FloatArray:
    """Return the sign of each pair's difference, [pairs, R] of [M, R]."""
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    signs: FloatArray = np.sign(np.nan_to_num(values)[first] - np.nan_to_num(values)[second])
    return signs


def _tau(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return Kendall's tau-b [R] of signs [pairs, R]; 0 if all methods are equal."""
    size = np.sqrt((one != 0).sum(axis=0) * (other != 0).sum(axis=0))
    tau: FloatArray = np.where(size > 0, (one * other).sum(axis=0) / np.maximum(size, 1.0), 0.0)
    return tau
