"""Equal error rate and detection cost of verification trials.

A trial is accepted where its score reaches the threshold. Miss rate rises with the threshold, false-alarm rate falls;
the EER lies where the two meet, on the straight line between the operating points on either side (tied scores are one
operating point).
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elp_core.errors import CorpusError
from elp_core.metrics.scores import BoolArray, Evaluation, FloatArray, IntArray, TrialScores


@dataclass(frozen=True)
class Eer:
    """An equal error rate and what it was measured on."""

    value: float
    threshold: float
    targets: int
    nontargets: int


@dataclass(frozen=True)
class MinDcf:
    """A minimum detection cost and what it is made of."""

    value: float
    threshold: float
    misses: int
    """Target trials under the threshold."""
    false_alarms: int
    """Impostor trials that reach it."""


def detection_curve(scores: FloatArray, targets: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Operating points from the lowest threshold to beyond the highest.

    Returns:
        miss [K + 1], false alarm [K + 1], threshold [K + 1] for K distinct scores; the last threshold accepts nothing.

    Raises:
        CorpusError: without both target and impostor trials.
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
    """Equal error rate of N trials as a share, with its threshold.

    Args:
        scores: [N], higher means more alike; finite.
        targets: bool [N].

    Raises:
        CorpusError: without both target and impostor trials.
    """
    scores, targets = np.asarray(scores, np.float64), np.asarray(targets, np.bool_)
    _refuse_one_kind(targets)
    # each kind sorted by itself: no permutation is needed, and the crossing is found by bisection
    hits, rest = np.sort(scores[targets]), np.sort(scores[~targets])
    top = np.nextafter(max(hits[-1], rest[-1]), np.inf)
    high = min(_crossing(hits, hits, rest), _crossing(rest, hits, rest), top)
    # the lowest threshold accepts all, miss 0 < false alarm 1: there is a score below the crossing
    low = max(kind[place - 1] for kind in (hits, rest) if (place := np.searchsorted(kind, high)) > 0)
    (miss_low, alarm_low), (miss_high, alarm_high) = (_rates(at, hits, rest) for at in (low, high))
    below, above = miss_low - alarm_low, miss_high - alarm_high
    share = below / (below - above)
    value = float(miss_low + share * (miss_high - miss_low))
    return Eer(value, float(low + share * (high - low)), len(hits), len(rest))


def false_rates(scores: FloatArray, targets: BoolArray, threshold: float) -> tuple[float, float]:
    """False accepts and false rejects: the shares of impostor and of target trials that a fixed threshold gets wrong.

    Args:
        scores: [N], higher means more alike.
        targets: bool [N].
        threshold: scores from here on are accepted.

    Raises:
        CorpusError: without both target and impostor trials.
    """
    accepted, targets = np.asarray(scores, np.float64) >= threshold, np.asarray(targets, np.bool_)
    _refuse_one_kind(targets)
    return float(accepted[~targets].mean()), 1.0 - float(accepted[targets].mean())


def _rates(threshold: float, hits: FloatArray, rest: FloatArray) -> tuple[float, float]:
    """Miss and false alarm at a threshold, of sorted scores."""
    return (
        float(np.searchsorted(hits, threshold)) / len(hits),
        1.0 - float(np.searchsorted(rest, threshold)) / len(rest),
    )


def _crossing(thresholds: FloatArray, hits: FloatArray, rest: FloatArray) -> float:
    """The lowest of sorted thresholds at which misses are as many as false alarms; infinity where none is."""

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
    """Minimum normalised detection cost (NIST SRE 2008 evaluation plan, section 2.3; prior 0.01 as VoxSRC uses it).

    Of thresholds with the same cost the highest is taken, which lets the fewest impostors in.

    Args:
        scores: float64 [N], higher means more alike.
        targets: bool [N].
        prior: probability of a target trial.
        cost_miss: of one target refused.
        cost_false_alarm: of one impostor accepted.

    Raises:
        CorpusError: without both target and impostor trials.
    """
    miss, false_alarm, thresholds = detection_curve(scores, targets)
    cost = cost_miss * prior * miss + cost_false_alarm * (1.0 - prior) * false_alarm
    at = len(cost) - 1 - int(np.argmin(cost[::-1]))
    total = int(np.asarray(targets).sum())
    return MinDcf(
        float(cost[at] / min(cost_miss * prior, cost_false_alarm * (1.0 - prior))),
        float(thresholds[at]),
        round(float(miss[at]) * total),
        round(float(false_alarm[at]) * (len(targets) - total)),
    )


def evaluate_trials(
    ids: Sequence[str],
    speakers: Sequence[str],
    conditions: Sequence[str],
    a: IntArray,
    b: IntArray,
    scores: FloatArray,
    targets: BoolArray,
) -> Evaluation:
    """Score N trials over C clips.

    `extra` has ``threshold`` (of the EER), ``min_dcf`` with ``min_dcf_threshold``, ``min_dcf_misses`` and
    ``min_dcf_false_alarms``, and the counts ``trials``, ``targets``, ``nontargets`` and ``clips``.

    Args:
        ids: C of them, as `speakers` and `conditions`.
        speakers: of each clip.
        conditions: of each clip.
        a: int64 [N], positions in `ids`.
        b: int64 [N], the same.
        scores: float64 [N], higher means more alike.
        targets: bool [N], true where both clips are of one speaker.

    Raises:
        CorpusError: where columns do not fit, a score is not finite, or one kind of trial is missing.
    """
    trials = TrialScores(tuple(ids), tuple(speakers), tuple(conditions), a, b, scores, targets)
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
