"""Methods against each other on one golden set, resampled together as the gate resamples challenger and champion.

What makes a clip hard makes it hard for both, so the difference of two methods is known better than either value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.comparison.trial import Trial
from pipelines.gating.compare import Scores, compare
from pipelines.registry.policies import GatePolicy

FROZEN = "weighted-sum"
"""The frozen backbone without any adapter."""
Told = Literal["lower", "higher", "alike", "unknown"]


@dataclass(frozen=True)
class Difference:
    """The metric of `method` less that of `other`, with its paired interval."""

    method: str
    other: str
    value: float
    lower: float | None
    upper: float | None
    """Both bounds are None where one speaker says nothing of the spread."""

    @property
    def told(self) -> Told:
        """What the interval says of `method`: an interval with zero in it does not tell the two apart."""
        if self.lower is None or self.upper is None:
            return "unknown"
        return "lower" if self.upper < 0 else "higher" if self.lower > 0 else "alike"


def best_of(methods: Sequence[Trial]) -> Trial:
    """The method with the lowest metric, the smaller of equals; `methods` are one or more."""
    return min(methods, key=lambda trial: (trial.value, trial.parameters))


def pairs_of(methods: Sequence[Trial]) -> list[tuple[str, str]]:
    """Which methods are held against which: each against the best, and those of which the paper of ELP speaks."""
    named, best = {trial.method for trial in methods}, best_of(methods).method
    elp = "elp" if "elp" in named else "slot"
    paper = [(elp, "full"), ("e", FROZEN), ("l", FROZEN)]
    wanted = [*((trial.method, best) for trial in methods), *(pair for pair in paper if named.issuperset(pair))]
    return [(one, other) for one, other in dict.fromkeys(wanted) if one != other]


def differences(
    scores: Mapping[str, Scores], pairs: Iterable[tuple[str, str]], policy: GatePolicy, closed_set: bool
) -> tuple[Difference, ...]:
    """Each pair's difference.

    Args:
        scores: of each method, on one golden set.
        pairs: names of methods.
        policy: resamples, seed and confidence.
        closed_set: resample clips rather than speakers.

    Raises:
        CorpusError: where two methods were not scored on the same clips.
    """
    return tuple(_difference(one, other, scores, policy, closed_set) for one, other in pairs)


def _difference(one: str, other: str, scores: Mapping[str, Scores], policy: GatePolicy, closed_set: bool) -> Difference:
    found = compare(scores[one], scores[other], policy, closed_set).delta
    assert found is not None
    known = math.isfinite(found.lower) and math.isfinite(found.upper)
    return Difference(one, other, found.value, found.lower if known else None, found.upper if known else None)
