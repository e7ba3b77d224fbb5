"""Which clips share a batch: clips of similar length, under a budget of seconds, shuffled in each epoch."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from elp_core.types import Seconds


def length_buckets(
    durations: Sequence[Seconds], batch_seconds: Seconds, seed: int, epoch: int, shuffle: bool = True
) -> list[list[int]]:
    """Return batches of positions in `durations`; without `shuffle`, in the order of length alone, for evaluation.

    Laws: every position occurs in exactly one batch; clips x longest clip is at most `batch_seconds` (a longer clip is
    alone in its batch); the same arguments give the same batches, and each epoch has other batches in another order.
    """
    lengths = np.asarray(durations, np.float64)
    if not shuffle:
        return _fill(np.argsort(lengths, kind="stable"), lengths, batch_seconds)
    rng = np.random.default_rng([seed, epoch, 1])
    # lengths are blurred by a tenth: batches differ between epochs, and padding stays small
    order = np.argsort(lengths * rng.uniform(0.9, 1.1, size=len(lengths)), kind="stable")
    batches = _fill(order, lengths, batch_seconds)
    return [batches[i] for i in rng.permutation(len(batches))]


def _fill(order: npt.NDArray[np.int64], lengths: np.typing.NDArray[np.float64], budget: Seconds) -> list[list[int]]:
    batches: list[list[int]] = []
    longest = 0.0
    for position in order.tolist():
        longest = max(longest, float(lengths[position]))
        if not batches or longest * (len(batches[-1]) + 1) > budget:
            batches.append([])
            longest = float(lengths[position])
        batches[-1].append(position)
    return batches


def join_groups(count: int, share: float, size: int, seed: int, epoch: int) -> list[tuple[int, ...]]:
    """Return the positions 0 … count - 1 in groups: about `share` of them in groups of 2 … `size`, the others alone.

    Each position occurs exactly once. Joined short clips train a model on borders between words.
    """
    rng = np.random.default_rng([seed, epoch, 2])
    order = rng.permutation(count).tolist()
    joined = round(share * count) if size > 1 else 0
    groups: list[tuple[int, ...]] = []
    at = 0
    while at < joined:
        take = min(int(rng.integers(2, size + 1)), count - at)
        groups.append(tuple(order[at : at + take]))
        at += take
    return groups + [(position,) for position in order[at:]]
