"""Verification trials: pairs of clips to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from elp_core.types import Clip

MAX_TRIALS = 2_000_000


@dataclass(frozen=True)
class Trial:
    """Two clips by id; `target` if both are of one speaker."""

    a: str
    b: str
    target: bool


def all_pairs(clips: Sequence[Clip], cap: int = MAX_TRIALS, seed: int = 0) -> list[Trial]:
    """Return every unordered pair of distinct clips; if there are more than `cap`, a sample of that size."""
    first, second = pair_positions(len(clips), cap, seed)
    return [
        Trial(clips[a].id, clips[b].id, clips[a].speaker == clips[b].speaker)
        for a, b in zip(first.tolist(), second.tolist(), strict=True)
    ]


def pair_positions(
    count: int, cap: int = MAX_TRIALS, seed: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the positions (a < b) of `all_pairs` among `count` clips, int64 [trials] each, in ascending order.

    A sample (of more than `cap` pairs) is drawn without repetition and depends on the arguments only.
    """
    total = count * (count - 1) // 2
    if total <= cap:
        first, second = np.triu_indices(count, 1)
        return first.astype(np.int64), second.astype(np.int64)
    numbers = np.sort(np.random.default_rng([seed, count]).choice(total, size=cap, replace=False, shuffle=False))
    # pair number n is in the row a whose first pair is number a * (2 * count - a - 1) / 2
    rows = np.arange(count, dtype=np.int64)
    starts = rows * (2 * count - rows - 1) // 2
    first = np.searchsorted(starts, numbers, side="right") - 1
    return first.astype(np.int64), (numbers - starts[first] + first + 1).astype(np.int64)
