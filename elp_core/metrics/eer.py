"""Equal error rate and detection cost of verification trials.

A trial is accepted if its score reaches the threshold. The miss rate rises with the threshold and the false-alarm rate
falls. The EER is the rate at which the two are equal, on the straight line between the two nearest operating points
(tied scores are one operating point).

All functions take N trials: scores float64 [N], higher means more similar, and targets bool [N].
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elp_core.errors import CorpusError
from elp_core.metrics.scores import BoolArray, Evaluation, FloatArray, IntArray, TrialScores, clip_columns, clip_groups
from elp_core.types import Clip


@dataclass(frozen=True)
class Eer:
    """An equal error rate, its threshold, and the numbers of trials."""

    value: float
    threshold: float
    targets: int
    nontargets: int


@dataclass(frozen=True)
class MinDcf:
    """A minimum detection cost, its threshold, and the errors there."""

    value: float
    threshold: float
    misses: int
    """Target trials below the threshold."""
    false_alarms: int
    """Impostor trials that reach the threshold."""


def detection_curve(scores: FloatArray, targets: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the operating points of N trials: miss, false alarm and threshold, [K + 1] each for K distinct scores.

    The first threshold is the lowest score; the last one is above the highest score and accepts nothing.

    Raises:
        CorpusError: There are no target trials or no impostor trials.
    """
    scores, targets = np.asarray(scores, np.float64), np.asarray(targets, np.bool_)
    _refuse_one_kind(targets)
    total = int(targets.sum())
    order = np.argsort(scores, kind="stable")
    ranked, hits = scores[order], targets[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    below_targets = np.concatenate([[0], np.cumsum(hits)])[np.append(starts, len(ranked))]
    below = np.append(starts, len(ranked))
    miss = below_targets / total
    false_alarm = 1.0 - (below - below_targets) / (len(targets) - total)
    return miss, false_alarm, np.append(ranked[starts], np.nextafter(ranked[-1], np.inf))


def eer(scores: FloatArray, targets: BoolArray) -> Eer:
    """Return the equal error rate of N trials, finite scores [N], as a share, with its threshold.

    Raises:
        CorpusError: There are no target trials or no impostor trials.
    """
    scores, targets = np.asarray(scores, np.float64), np.asarray(targets, np.bool_)
    _refuse_one_kind(targets)
    # two sorts without a permutation and a bisection: 20 times faster than a curve over all thresholds
    hits, rest = np.sort(scores[targets]), np.sort(scores[~targets])
    top = np.nextafter(max(hits[-1], rest[-1]), np.inf)
    high = min(_crossing(hits, hits, rest), _crossing(rest, hits, rest), top)
    # the lowest threshold accepts every trial (miss 0, false alarm 1), so there is a score below the crossing
    low = max(kind[place - 1] for kind in (hits, rest) if (place := np.searchsorted(kind, high)) > 0)
    (miss_low, alarm_low), (miss_high, alarm_high) = (_rates(at, hits, rest) for at in (low, high))
    below, above = miss_low - alarm_low, miss_high - alarm_high
    share = below / (below - above)
    value = float(miss_low + share * (miss_high - miss_low))
    return Eer(value, float(low + share * (high - low)), len(hits), len(rest))


def false_rates(scores: FloatArray, targets: BoolArray, threshold: float) -> tuple[float, float]:
    """Return the share of impostor trials (scores [N]) that a threshold accepts, and of targets that it rejects.

    Raises:
        CorpusError: There are no target trials or no impostor trials.
    """
    accepted, targets = np.asarray(scores, np.float64) >= threshold, np.asarray(targets, np.bool_)
    _refuse_one_kind(targets)
    return float(accepted[~targets].mean()), 1.0 - float(accepted[targets].mean())


def _rates(threshold: float, hits: FloatArray, rest: FloatArray) -> tuple[float, float]:
    """Return miss and false alarm at a threshold, from sorted scores."""
    below_hits, below_rest = (float(np.searchsorted(kind, threshold)) for kind in (hits, rest))
    return below_hits / len(hits), 1.0 - below_rest / len(rest)


def _crossing(thresholds: FloatArray, hits: FloatArray, rest: FloatArray) -> float:
    """Return the lowest of sorted thresholds whose miss rate reaches the false-alarm rate; infinity if none does."""

    def crossed(place: int) -> bool:
        miss, false_alarm = _rates(thresholds[place], hits, rest)
        return miss >= false_alarm

    place = bisect.bisect_left(range(len(thresholds)), True, key=crossed)
    return float(thresholds[place]) if place < len(thresholds) else np.inf


def _refuse_one_kind(targets: BoolArray) -> None:
    total = int(targets.sum())
    if total == 0 or total == len(targets):
        raise CorpusError(
            f"{total} target and {len(targets) - total} impostor trials; an equal error rate needs both: "
            "two clips of one speaker, and two speakers"
        )


def min_dcf(
    scores: FloatArray, targets: BoolArray, prior: float = 0.01, cost_miss: float = 1.0, cost_false_alarm: float = 1.0
) -> MinDcf:
    """Return the minimum normalised detection cost (NIST SRE 2008 evaluation plan, section 2.3; prior as in VoxSRC).

    Scores and targets are [N]; `prior` is the probability of a target trial. Of thresholds with the same cost, the
    highest is selected, because it accepts the fewest impostors.
    """
    miss, false_alarm, thresholds = detection_curve(scores, targets)
    cost = cost_miss * prior * miss + cost_false_alarm * (1.0 - prior) * false_alarm
    at = len(cost) - 1 - int(np.argmin(cost[::-1]))  # argmin alone gives the lowest of equal ones
    total = int(np.asarray(targets).sum())
    return MinDcf(
        float(cost[at] / min(cost_miss * prior, cost_false_alarm * (1.0 - prior))),
        float(thresholds[at]),
        round(float(miss[at]) * total),
        round(float(false_alarm[at]) * (len(targets) - total)),
    )


def evaluate_trials(
    clips: Sequence[Clip], a: IntArray, b: IntArray, scores: FloatArray, targets: BoolArray
) -> Evaluation:
    """Score N trials between the clips at the positions `a` and `b`, int64 [N] each.

    `extra` has ``threshold`` (of the EER), ``min_dcf`` with ``min_dcf_threshold``, ``min_dcf_misses`` and
    ``min_dcf_false_alarms``, and the counts ``trials``, ``targets``, ``nontargets`` and ``clips``.

    Raises:
        CorpusError: Columns differ in length, a score is not finite, or one kind of trial is missing.
    """
    trials = TrialScores(*clip_columns(clips), a, b, scores, targets, clip_groups(clips))
    result = eer(trials.scores, trials.targets)
    cost = min_dcf(trials.scores, trials.targets)
    extra = {
        "threshold": result.threshold,
        "min_dcf": cost.value,
        "min_dcf_threshold": cost.threshold,
        "min_dcf_misses": float(cost.misses),
        "min_dcf_false_alarms": float(cost.false_alarms),
        "trials": float(len(trials)),
        "targets": float(result.targets),
        "nontargets": float(result.nontargets),
        "clips": float(len(trials.ids)),
    }
    return Evaluation("eer", result.value, trials, extra)
