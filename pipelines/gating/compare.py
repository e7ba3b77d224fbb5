"""Two systems on one set of clips: values, paired intervals and the sizes behind them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from elp_core.errors import CorpusError
from elp_core.metrics.bootstrap import Blocks, Unit, blocks_of, resample_eer, resample_errors
from elp_core.metrics.eer import eer
from elp_core.metrics.scores import ClipScores, FloatArray, TrialScores
from elp_core.metrics.wer import error_rate
from pipelines.gating.interval import Interval, binomial_error, interval
from pipelines.registry.policies import GatePolicy

Scores: TypeAlias = ClipScores | TrialScores


@dataclass(frozen=True)
class Comparison:
    """Challenger and champion on the same clips, resampled together."""

    metric: str
    challenger: Interval
    champion: Interval | None
    delta: Interval | None
    clips: int
    size: int
    """How many `counted` there are: what `min_slice` is compared with."""
    counted: str
    """``clips`` or ``target trials``."""
    blocks: int
    unit: Unit
    pieces: float
    """Independent pieces whose whole-number errors the metric counts."""
    draws: FloatArray = field(repr=False, compare=False)
    """float64 [systems, R], the challenger's first."""


def compare(challenger: Scores, champion: Scores | None, policy: GatePolicy, closed_set: bool) -> Comparison:
    """Measure and resample both systems.

    In a closed set the speakers are given and the recordings vary, so clips are resampled; otherwise speakers are.

    Raises:
        CorpusError: where the two were not scored on the same clips, or the metric cannot be computed on them.
    """
    systems = [challenger] if champion is None else [challenger, champion]
    if champion is not None:
        check_pairing(challenger, champion)
    blocks = blocks_for(challenger, closed_set)
    draws = resample(systems, blocks, policy.resamples, policy.seed)
    values = [measure(system) for system in systems]
    clips, pieces = len(challenger.ids), tokens(challenger)
    at_limit = binomial_error(min(policy.limit, 1.0), pieces)
    at_margin = binomial_error(policy.margin, pieces)

    def bounds(value: float, drawn: FloatArray, floor: float, growth: float = 1.0) -> Interval:
        return interval(value, drawn, blocks.count, floor, clips, policy.confidence, growth)

    difference = round(values[0] - values[1], 12) if champion is not None else 0.0
    growth = _growth(challenger, champion, difference, policy.margin)

    return Comparison(
        challenger.metric,
        bounds(values[0], draws[0], at_limit),
        None if champion is None else bounds(values[1], draws[1], at_limit),
        None if champion is None else bounds(difference, draws[0] - draws[1], at_margin, growth),
        clips,
        challenger.size,
        challenger.unit,
        blocks.count,
        blocks.unit,
        pieces,
        draws,
    )


def bounds_at(found: Comparison, value: float, draws: FloatArray, rate: float, confidence: float) -> Interval:
    """The interval of `value`, made of what was compared, with its draws [R]; `rate` is the null model's."""
    floor = binomial_error(min(rate, 1.0), found.pieces)
    return interval(value, draws, found.blocks, floor, found.clips, confidence)


def measure(scores: Scores) -> float:
    """Rate of errors or EER of the whole set."""
    if isinstance(scores, ClipScores):
        if not len(scores):
            raise CorpusError("no clips were scored; a gate needs a golden set with at least one clip")
        return round(error_rate(scores.errors, scores.tokens), 12)
    return round(eer(scores.scores, scores.targets).value, 12)


def resample(systems: list[Scores], blocks: Blocks, resamples: int, seed: int) -> FloatArray:
    """Bootstrap draws float64 [systems, R] of systems that `check_pairing` accepts."""
    clips = [system for system in systems if isinstance(system, ClipScores)]
    if clips:
        return resample_errors(clips, blocks, resamples, seed)
    return resample_eer([s for s in systems if isinstance(s, TrialScores)], blocks, resamples, seed)


def delta_draws(challenger: Scores, champion: Scores | None, closed_set: bool, resamples: int, seed: int) -> FloatArray:
    """Draws [R] of challenger − champion (of the challenger's own value without a champion), for a histogram."""
    systems = [challenger] if champion is None else [challenger, champion]
    draws = resample(systems, blocks_for(challenger, closed_set), resamples, seed)
    difference: FloatArray = draws[0] if champion is None else draws[0] - draws[1]
    return difference[np.isfinite(difference)]


def check_pairing(challenger: Scores, champion: Scores) -> None:
    """Refuse two sets of scores that do not stand on the same clips in the same order."""
    same = type(challenger) is type(champion) and challenger.ids == champion.ids
    if same and isinstance(challenger, ClipScores) and isinstance(champion, ClipScores):
        same = (challenger.metric, challenger.speakers) == (champion.metric, champion.speakers)
        same = same and challenger.references == champion.references
        same = same and bool(np.array_equal(challenger.tokens, champion.tokens))
    elif same and isinstance(challenger, TrialScores) and isinstance(champion, TrialScores):
        columns = (("a", challenger.a, champion.a), ("b", challenger.b, champion.b))
        same = all(np.array_equal(one, other) for _, one, other in columns) and bool(
            np.array_equal(challenger.targets, champion.targets)
        )
    if not same:
        raise CorpusError(
            "challenger and champion were not scored on the same clips, speakers and references in the same order; "
            "evaluate both on one golden set in one run"
        )


def blocks_for(scores: Scores, closed_set: bool) -> Blocks:
    """What is resampled: speakers, or clips in a closed set."""
    return blocks_of(scores.speakers, "clips" if closed_set else "speakers")


def _growth(challenger: Scores, champion: Scores | None, difference: float, margin: float) -> float:
    """How much larger the standard error of the difference would be at the margin.

    A harm of `margin` that was seen in part only would bring the rest of its errors along, as clustered as those that
    were seen: the variance grows with the rate at which the two systems differ. Known for counted errors only.
    """
    if not (isinstance(challenger, ClipScores) and isinstance(champion, ClipScores)):
        return 1.0
    differing, tokens = int(np.abs(challenger.errors - champion.errors).sum()), int(challenger.tokens.sum())
    if differing == 0 or tokens == 0:
        return 1.0
    rate = differing / tokens
    return math.sqrt((rate + max(0.0, margin - difference)) / rate)


def tokens(scores: Scores) -> float:
    """Independent pieces whose whole-number errors the metric counts: words or clips, or target trials."""
    return float(scores.tokens.sum()) if isinstance(scores, ClipScores) else float(scores.targets.sum())
