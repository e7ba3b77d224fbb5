"""Verification trials: pairs of clips to compare."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from elp_core.errors import CorpusError

MAX_TRIALS = 2_000_000


@dataclass(frozen=True)
class TrialList:
    """Trials that someone chose, such as the list of a published evaluation; N trials.

    Raises:
        CorpusError: The columns differ in length.
    """

    name: str
    first: tuple[str, ...] = field(repr=False)
    """Ids of the first clips, N of them."""
    second: tuple[str, ...] = field(repr=False)
    """Ids of the second clips."""
    targets: tuple[bool, ...] = field(repr=False)
    """True if both clips are of one speaker."""

    def __post_init__(self) -> None:
        if not len(self.first) == len(self.second) == len(self.targets):
            raise CorpusError(
                f"{self.name}: {len(self.first)} and {len(self.second)} clips for {len(self.targets)} trials"
            )

    def __len__(self) -> int:
        return len(self.targets)

    @cached_property
    def digest(self) -> str:
        """Return the ``sha256:…`` of the trials, in their order."""
        trials = zip(self.targets, self.first, self.second, strict=True)
        text = "".join(f"{int(target)} {one} {other}\n" for target, one, other in trials)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def between(self, clips: Collection[str]) -> TrialList:
        """Return the trials of which both clips are among `clips` (ids)."""
        trials = zip(self.first, self.second, self.targets, strict=True)
        kept = [trial for trial in trials if trial[0] in clips and trial[1] in clips]
        first, second, targets = zip(*kept, strict=True) if kept else ((), (), ())
        return TrialList(self.name, first, second, targets)

    def positions(self, clips: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the positions of each trial's clips in `clips` (ids), int64 [N] each.

        Raises:
            CorpusError: A trial names a clip that is not among them.
        """
        places = {clip: place for place, clip in enumerate(clips)}
        missing = {clip for clip in (*self.first, *self.second) if clip not in places}
        if missing:
            raise CorpusError(
                f"{self.name}: {len(missing)} of its clips are not among the {len(clips)} clips, the first is "
                f"{min(missing)}; evaluate on the golden set that the trials belong to"
            )
        a, b = (np.array([places[clip] for clip in side], np.int64) for side in (self.first, self.second))
        return a, b


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
