"""Two systems on one set of clips: their metric values, paired intervals, and the sizes behind them."""

import math
from dataclasses import dataclass, field

import numpy as np

from elp_core.errors import CorpusError
from elp_core.metrics.bootstrap import Blocks, Unit, blocks_of, resample_eer, resample_errors
from elp_core.metrics.eer import eer
from elp_core.metrics.scores import ClipScores, FloatArray, TrialScores
from elp_core.metrics.wer import error_rate
from pipelines.gating.interval import Interval, binomial_error, confidence_interval
from pipelines.registry.evidence_scores import Scores
from pipelines.registry.policies import GatePolicy


@dataclass(frozen=True)
class PairedComparison:
    """Challenger and champion on the same clips, resampled together."""

    metric: str
    challenger: Interval
    champion: Interval | None
    delta: Interval | None
    """Challenger − champion."""
    clips: int
    blocks: int
    unit: Unit
    tokens: float
    """Number of words, characters, clips or target trials that can each be right or wrong."""
    draws: FloatArray = field(repr=False, compare=False)
    """float64 [systems, R], the challenger's first."""

    def interval_of(self, value: float, draws: FloatArray, rate: float, confidence: float) -> Interval:
        """Return the interval of a value derived from the two metrics; `rate` is what the null model assumes."""
        floor = binomial_error(rate, self.tokens)
        return confidence_interval(value, draws, self.blocks, floor, self.clips, confidence)


def compare_scores(
    challenger: Scores, champion: Scores | None, policy: GatePolicy, closed_set: bool
) -> PairedComparison:
    """Measure and resample both systems; raises CorpusError if they were not scored on the same clips."""
    systems = _paired(challenger, champion)
    blocks = blocks_for(challenger, closed_set)
    draws = _resampled(systems, blocks, policy.resamples, policy.seed)
    values = [metric_value(system) for system in systems]
    clips, tokens = len(challenger.ids), token_count(challenger)

    def bounds(value: float, drawn: FloatArray, rate: float, growth: float = 1.0) -> Interval:
        floor = binomial_error(rate, tokens)
        return confidence_interval(value, drawn, blocks.count, floor, clips, policy.confidence, growth)

    before = delta = None
    if champion is not None:
        # rounding makes verdicts equal on processors whose sums differ in the last bits
        difference = round(values[0] - values[1], 12)
        growth = _growth(challenger, champion, difference, policy.margin)
        before = bounds(values[1], draws[1], policy.limit)
        delta = bounds(difference, draws[0] - draws[1], policy.margin, growth)
    return PairedComparison(
        metric=challenger.metric,
        challenger=bounds(values[0], draws[0], policy.limit),
        champion=before,
        delta=delta,
        clips=clips,
        blocks=blocks.count,
        unit=blocks.unit,
        tokens=tokens,
        draws=draws,
    )


def delta_draws(challenger: Scores, champion: Scores | None, closed_set: bool, resamples: int, seed: int) -> FloatArray:
    """Return draws [R] of challenger − champion for a histogram (of the challenger's value if there is no champion)."""
    draws = _resampled(_paired(challenger, champion), blocks_for(challenger, closed_set), resamples, seed)
    difference: FloatArray = draws[0] if champion is None else draws[0] - draws[1]
    return difference[np.isfinite(difference)]


def blocks_for(scores: Scores, closed_set: bool) -> Blocks:
    """Return the blocks that are resampled: speakers, or clips in a closed set, which gives the speakers."""
    return blocks_of(scores.speakers, "clips" if closed_set else "speakers")


def token_count(scores: Scores) -> float:
    """Return how many words, characters, clips or target trials can each be right or wrong."""
    return float(scores.tokens.sum()) if isinstance(scores, ClipScores) else float(scores.targets.sum())


def metric_value(scores: Scores) -> float:
    """Return the metric of scores; raise CorpusError if it cannot be computed on them."""
    if isinstance(scores, ClipScores):
        if not len(scores):
            raise CorpusError("no clips were scored; a gate needs a golden set with at least one clip")
        return round(error_rate(scores.errors, scores.tokens), 12)
    return round(eer(scores.scores, scores.targets).value, 12)


def _resampled(systems: list[Scores], blocks: Blocks, resamples: int, seed: int) -> FloatArray:
    """Return bootstrap draws float64 [systems, R] of paired systems."""
    clips = [system for system in systems if isinstance(system, ClipScores)]
    if clips:
        return resample_errors(clips, blocks, resamples, seed)
    return resample_eer([s for s in systems if isinstance(s, TrialScores)], blocks, resamples, seed)


def _paired(challenger: Scores, champion: Scores | None) -> list[Scores]:
    """Return both systems, after a check that they were scored on the same clips in the same order."""
    if champion is None:
        return [challenger]
    same = type(challenger) is type(champion) and challenger.ids == champion.ids
    if same and isinstance(challenger, ClipScores) and isinstance(champion, ClipScores):
        same = (
            (challenger.metric, challenger.speakers, challenger.references)
            == (champion.metric, champion.speakers, champion.references)
        ) and np.array_equal(challenger.tokens, champion.tokens)
    elif same and isinstance(challenger, TrialScores) and isinstance(champion, TrialScores):
        columns = ((challenger.a, champion.a), (challenger.b, champion.b), (challenger.targets, champion.targets))
        same = all(np.array_equal(one, other) for one, other in columns)
    if not same:
        raise CorpusError(
            "challenger and champion were not scored on the same clips, speakers and references in the same order; "
            "evaluate both on one golden set in one run"
        )
    return [challenger, champion]


def _growth(challenger: Scores, champion: Scores, difference: float, margin: float) -> float:
    """Return the factor by which the standard error of the difference would be larger at the margin.

    If only a part of a harm of size `margin` was seen, the rest of its errors would be as clustered as those that were
    seen: the variance grows with the rate at which the two systems differ. This is known for counted errors only.
    """
    if not (isinstance(challenger, ClipScores) and isinstance(champion, ClipScores)):
        return 1.0
    tokens = int(challenger.tokens.sum())
    rate = int(np.abs(challenger.errors - champion.errors).sum()) / tokens if tokens else 0.0
    return math.sqrt((rate + max(0.0, margin - difference)) / rate) if rate else 1.0
