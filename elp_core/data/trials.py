"""Verification trials: pairs of clips to compare."""

import numpy as np
import numpy.typing as npt

MAX_TRIALS = 2_000_000


def pair_positions(
    count: int, cap: int = MAX_TRIALS, seed: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the positions (a < b) of every pair among `count` clips, int64 [trials] each, in ascending order.

    Of more than `cap` pairs, a sample is drawn without repetition; it depends on the arguments only.
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
