"""Verification at the deployed thresholds: false accepts and false rejects of each system at its own threshold.

The EER uses the threshold at which the two rates are equal, but users get the threshold that the bundle carries. Both
rates of both systems are measured on the same resamples as the EER, so that their differences are paired.
"""

from dataclasses import dataclass

from elp_core.metrics.bootstrap import resample_false_rates
from elp_core.metrics.eer import false_rates
from elp_core.metrics.scores import FloatArray, TrialScores
from pipelines.gating.compare import blocks_for
from pipelines.gating.interval import (
    LIMIT_WORDS,
    Interval,
    binomial_error,
    combine,
    confidence_interval,
    further_blocks,
)
from pipelines.number_text import count, percent, points
from pipelines.registry.policies import GatePolicy
from pipelines.registry.verdict import GateCheck, Measured, Outcome

_NAMES = ("false accepts", "false rejects")


@dataclass(frozen=True)
class FalseRate:
    """One of the two rates at fixed thresholds, resampled over the same blocks as the EER."""

    challenger: Interval
    champion: float | None
    delta: Interval | None
    """Challenger − champion; None if there is no champion with a threshold."""


def operating_point_checks(
    challenger: TrialScores, champion: TrialScores | None, policy: GatePolicy, closed_set: bool, measured: Measured
) -> tuple[GateCheck, ...]:
    """Return one check for each of the two rates: its absolute limit, and its margin to the champion's rate."""
    limits, margin = (policy.safety.max_false_accepts, policy.safety.max_false_rejects), policy.safety.operating_margin
    own, other = measured.challenger_threshold, measured.champion_threshold if champion else None
    if own is None:
        detail = "the bundle has no threshold, so it cannot accept any speaker; train it again with validation trials"
        lost = other is not None and margin is not None
        return tuple(
            GateCheck(name, not lost and limit is None, detail, derived=True)
            for name, limit in zip(_NAMES, limits, strict=True)
        )
    rates = measure_rates(challenger, own, champion, other, policy, closed_set)
    unit = "clip" if closed_set else "speaker"
    checks = []
    for name, rate, limit in zip(_NAMES, rates, limits, strict=True):
        details = [f"{percent(rate.challenger.value)} ({rate.challenger.text}) at the threshold {own:.3f}"]
        parts: list[Outcome] = []
        if limit is None:
            details[0] += ", no limit is set"
        else:
            parts.append(rate.challenger.judge(limit))
            details[0] += f", {LIMIT_WORDS[parts[0]]} the limit of {percent(limit)}"
            details[0] += _further(rate.challenger, limit, parts[0], unit)
        if rate.delta is not None and rate.champion is not None:
            details.append(
                f"the champion's rate is {percent(rate.champion)} at {other:.3f}: {points(rate.delta.value)} "
                f"({rate.delta.signed_text})"
            )
            if margin is not None:
                parts.append(rate.delta.judge(margin))
                details.append(f"allowed {points(margin)}{_further(rate.delta, margin, parts[-1], unit)}")
        elif margin is not None:
            details.append("there is no champion with a threshold to compare with")
        outcome = combine(parts)
        checks.append(GateCheck(name, outcome == "passed", "; ".join(details), outcome == "undecided", derived=True))
    return tuple(checks)


def measure_rates(
    challenger: TrialScores,
    threshold: float,
    champion: TrialScores | None,
    champion_threshold: float | None,
    policy: GatePolicy,
    closed_set: bool,
) -> tuple[FalseRate, FalseRate]:
    """Return false accepts and false rejects of both systems, with intervals; both kinds of trials are needed."""
    systems, thresholds = [challenger], [threshold]
    if champion is not None and champion_threshold is not None:
        systems, thresholds = [challenger, champion], [threshold, champion_threshold]
    blocks = blocks_for(challenger, closed_set)
    draws = resample_false_rates(systems, thresholds, blocks, policy.resamples, policy.seed)
    values = [false_rates(s.scores, s.targets, at) for s, at in zip(systems, thresholds, strict=True)]
    clips = len(challenger.ids)
    # trials that share a clip are not independent: the null model counts only as many as share none
    disjoint = max(1, clips // 2)
    margin = policy.safety.operating_margin

    def bounds(value: float, drawn: FloatArray, target: float, trials: int) -> Interval:
        floor = binomial_error(target, min(trials, disjoint))
        return confidence_interval(value, drawn, blocks.count, floor, clips, policy.confidence)

    def rate(kind: int, limit: float | None, trials: int) -> FalseRate:
        value = values[0][kind]
        own = bounds(value, draws[0, kind], value if limit is None else limit, trials)
        if len(systems) == 1:
            return FalseRate(own, None, None)
        before, drawn = values[1][kind], draws[0, kind] - draws[1, kind]
        delta = bounds(round(value - before, 12), drawn, value if margin is None else margin, trials)
        return FalseRate(own, before, delta)

    targets = int(challenger.targets.sum())
    return (
        rate(0, policy.safety.max_false_accepts, len(challenger) - targets),
        rate(1, policy.safety.max_false_rejects, targets),
    )


def _further(found: Interval, target: float, outcome: Outcome, unit: str) -> str:
    """Return about how many more speakers or clips would decide, if the rate is undecided."""
    if outcome != "undecided":
        return ""
    blocks = further_blocks(found, target)
    return f" (about {count(blocks, f'more {unit}', 'd')} would decide)" if blocks else " (no larger set would decide)"
