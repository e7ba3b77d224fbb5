"""The finalists and the present configuration on new seeds, compared clip by clip with the gate's statistics.

The best of many trials is partly the luckiest. So the finalists and the present configuration are trained again, to the
end and with seeds that the search did not use, and only these trainings decide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines.gating.compare import PairedComparison, blocks_for, compare_scores, token_count
from pipelines.gating.interval import binomial_error, half_width
from pipelines.number_text import count
from pipelines.registry.evidence_scores import Scores
from pipelines.registry.policies import GatePolicy

Relation = Literal["better", "no worse", "undecided", "worse"]


@dataclass(frozen=True)
class ConfirmedDifference:
    """A finalist against the present configuration, over all new seeds."""

    value: float
    """Mean metric of the finalist."""
    present: float
    """Mean metric of the present configuration."""
    delta: float
    lower: float | None
    upper: float | None
    """The interval of `delta`; None if one speaker gives no interval."""
    by_seed: tuple[float, ...]
    """The difference of each seed."""
    relation: Relation
    blocks: int
    unit: str
    clips: int


def confirm(
    finalist: Sequence[Scores], present: Sequence[Scores], policy: GatePolicy, closed_set: bool
) -> ConfirmedDifference:
    """Compare two configurations, each with the scores of its seeds on the same clips in the same order of seeds.

    The resamples of all seeds draw the same speakers or clips, so their mean is a resample of the mean difference.
    Raises CorpusError if the clips are not the same.
    """
    pairs = [compare_scores(one, other, policy, closed_set) for one, other in zip(finalist, present, strict=True)]
    by_seed = tuple(pair.delta.value for pair in pairs if pair.delta)
    delta = round(math.fsum(by_seed) / len(by_seed), 12)
    draws = np.mean([pair.draws[0] - pair.draws[1] for pair in pairs], axis=0)
    first = pairs[0]
    found = first.interval_of(delta, draws, policy.margin, policy.confidence)
    relation: Relation = "undecided"
    value = _mean(pairs, 0)
    # of two systems above the gate's absolute limit, none is worth using, however equal they are
    useful = value <= policy.limit
    if useful and found.upper < 0 and max(by_seed) <= 0:
        relation = "better"
    elif useful and found.judge(policy.margin) == "passed":
        relation = "no worse"
    elif found.judge(policy.margin) == "failed":
        relation = "worse"
    return ConfirmedDifference(
        value=value,
        present=_mean(pairs, 1),
        delta=delta,
        lower=found.lower if math.isfinite(found.lower) else None,
        upper=found.upper if math.isfinite(found.upper) else None,
        by_seed=by_seed,
        relation=relation,
        blocks=first.blocks,
        unit=first.unit,
        clips=first.clips,
    )


def least_difference(scores: Scores, policy: GatePolicy, closed_set: bool) -> float:
    """Return how small a difference these clips can show at best: half the narrowest interval that the gate gives.

    Its standard error is the one at the margin, with as many degrees of freedom as there are speakers (or clips). The
    errors of two trainings differ in more places than that. Infinite if one speaker gives no interval.
    """
    blocks = blocks_for(scores, closed_set).count
    floor = binomial_error(policy.margin, token_count(scores))
    return half_width(floor, blocks, floor, len(scores.ids), policy.confidence) if blocks > 1 else math.inf


def resolution(clips: int, shown: float, margin: float) -> str:
    """Describe the smallest difference that can be shown, and what follows for the margin."""
    if math.isinf(shown):
        return "one speaker scores, so no difference can be shown: give the validation split more speakers"
    shows = f"{count(clips, 'scored clip')} can show a difference of {100 * shown:.1f} points at best"
    words = f"{shows}, and the margin is {100 * margin:.1f} points"
    return words + (": expect no decision before the split has more speakers or clips" if shown > margin else "")


def _mean(pairs: Sequence[PairedComparison], system: int) -> float:
    values = [(pair.champion if system else pair.challenger) for pair in pairs]
    return math.fsum(interval.value for interval in values if interval) / len(pairs)
