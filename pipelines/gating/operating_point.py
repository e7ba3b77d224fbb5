"""Verification at the thresholds that will decide: false accepts and false rejects of each system at its own.

The EER moves the threshold to where the two rates meet; users meet the one that the bundle carries. Both rates of both
systems are measured on the same resamples as the EER, so that their differences are paired.
"""

from __future__ import annotations

from dataclasses import dataclass

from elp_core.metrics.bootstrap import resample_false_rates
from elp_core.metrics.eer import false_rates
from elp_core.metrics.scores import FloatArray, TrialScores
from pipelines.gating.compare import blocks_for
from pipelines.gating.interval import Interval, binomial_error, further_blocks, interval
from pipelines.gating.outcome import combine, judge
from pipelines.gating.wording import LIMIT, signed_spread, spread
from pipelines.number_text import count, percent, points
from pipelines.registry.policies import GatePolicy
from pipelines.registry.verdict import Check, Measured, Outcome

NAMES = ("false accepts", "false rejects")


@dataclass(frozen=True)
class Rate:
    """One of the two rates, at fixed thresholds. Resampled over the blocks that the EER is resampled over."""

    challenger: Interval
    champion: float | None
    delta: Interval | None
    """Challenger − champion; None without a champion that has a threshold."""


def operating_point_checks(
    challenger: TrialScores, champion: TrialScores | None, policy: GatePolicy, closed_set: bool, measured: Measured
) -> tuple[Check, Check]:
    """One check for each of the two rates: its absolute limit, and its margin to the champion's.

    Raises:
        CorpusError: where a kind of trial is missing.
    """
    limits = (policy.safety.max_false_accepts, policy.safety.max_false_rejects)
    own, other = measured.challenger_threshold, measured.champion_threshold if champion else None
    if own is None:
        told = "the bundle carries no threshold, so it can accept nobody; train it again with validation trials"
        lost = other is not None and policy.safety.operating_margin is not None
        wanted = [lost or limit is not None for limit in limits]
        first, second = (Check(name, not asked, told, derived=True) for name, asked in zip(NAMES, wanted, strict=True))
        return first, second
    rates = measure_rates(challenger, own, champion, other, policy, closed_set)
    unit = "clip" if closed_set else "speaker"
    first, second = (
        _check(name, rate, limit, policy.safety.operating_margin, measured, unit)
        for name, rate, limit in zip(NAMES, rates, limits, strict=True)
    )
    return first, second


def measure_rates(
    challenger: TrialScores,
    threshold: float,
    champion: TrialScores | None,
    champion_threshold: float | None,
    policy: GatePolicy,
    closed_set: bool,
) -> tuple[Rate, Rate]:
    """False accepts and false rejects of both, with intervals.

    The standard error that independent errors would have at the limit is that of as many trials as share no clip: half
    as many as there are clips, and no more than there are of the kind.

    Raises:
        CorpusError: where a kind of trial is missing.
    """
    systems, thresholds = [challenger], [threshold]
    if champion is not None and champion_threshold is not None:
        systems, thresholds = [challenger, champion], [threshold, champion_threshold]
    blocks = blocks_for(challenger, closed_set)
    draws = resample_false_rates(systems, thresholds, blocks, policy.resamples, policy.seed)
    values = [false_rates(s.scores, s.targets, at) for s, at in zip(systems, thresholds, strict=True)]
    clips = len(challenger.ids)
    disjoint = max(1, clips // 2)
    safety, margin = policy.safety, policy.safety.operating_margin

    def bounds(value: float, drawn: FloatArray, target: float, trials: int) -> Interval:
        floor = binomial_error(min(target, 1.0), min(trials, disjoint))
        return interval(value, drawn, blocks.count, floor, clips, policy.confidence)

    def rate(kind: int, limit: float | None, trials: int) -> Rate:
        mine = values[0][kind]
        own = bounds(mine, draws[0, kind], mine if limit is None else limit, trials)
        if len(systems) == 1:
            return Rate(own, None, None)
        theirs, drawn = values[1][kind], draws[0, kind] - draws[1, kind]
        delta = bounds(round(mine - theirs, 12), drawn, mine if margin is None else margin, trials)
        return Rate(own, theirs, delta)

    targets = int(challenger.targets.sum())
    return (
        rate(0, safety.max_false_accepts, len(challenger) - targets),
        rate(1, safety.max_false_rejects, targets),
    )


def _check(name: str, rate: Rate, limit: float | None, margin: float | None, measured: Measured, unit: str) -> Check:
    parts: list[Outcome] = []
    own = f"{percent(rate.challenger.value)} ({spread(rate.challenger)}) at the threshold {_at(measured)}"
    told = [f"{own}, {_limit_words(rate.challenger, limit, parts, unit)}"]
    if rate.delta is not None and rate.champion is not None:
        before = f"the champion's are {percent(rate.champion)} at {measured.champion_threshold:.3f}"
        told.append(f"{before}: {points(rate.delta.value)} ({signed_spread(rate.delta)})")
        if margin is not None:
            outcome = judge(rate.delta, margin)
            parts.append(outcome)
            told.append(f"allowed {points(margin)}{_more(rate.delta, margin, outcome, unit)}")
    elif margin is not None:
        told.append("there is no champion with a threshold to compare with")
    outcome = combine(parts)
    return Check(name, outcome == "passed", "; ".join(told), outcome == "undecided", derived=True)


def _limit_words(found: Interval, limit: float | None, parts: list[Outcome], unit: str) -> str:
    """How the rate lies to its limit; the answer joins `parts`."""
    if limit is None:
        return "no limit is set"
    outcome = judge(found, limit)
    parts.append(outcome)
    return f"{LIMIT[outcome]} the limit of {percent(limit)}{_more(found, limit, outcome, unit)}"


def _more(found: Interval, target: float, outcome: Outcome, unit: str) -> str:
    """About how many more would decide, where it is undecided."""
    if outcome != "undecided":
        return ""
    blocks = further_blocks(found, target)
    return f" (about {count(blocks, f'more {unit}')} would decide)" if blocks else " (no larger set would decide)"


def _at(measured: Measured) -> str:
    return "" if measured.challenger_threshold is None else f"{measured.challenger_threshold:.3f}"
