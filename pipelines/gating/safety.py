"""Checks beside the metric: what was measured, and what the policy's safety limits make of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from elp_core.metrics.scores import TrialScores, title
from pipelines.gating.compare import Comparison, Scores, compare
from pipelines.gating.interval import exceeds
from pipelines.gating.leakage_alarm import plausible_improvement
from pipelines.gating.operating_point import operating_point_checks
from pipelines.gating.outcome import judge
from pipelines.gating.slices import conditions, holm
from pipelines.gating.wording import LIMIT, spread
from pipelines.number_text import count, percent
from pipelines.registry.policies import GatePolicy
from pipelines.registry.verdict import Check, Measured, Neighbourhood, Outcome, SliceResult

SHOWN = 4
"""Names listed in one sentence; the others are counted."""


@dataclass(frozen=True)
class Pair:
    """Two systems on one golden set, compared."""

    challenger: Scores
    champion: Scores | None
    found: Comparison
    slices: tuple[SliceResult, ...]
    closed_set: bool


def safety_checks(pair: Pair, policy: GatePolicy, measured: Measured) -> tuple[Check, ...]:
    """Every check of the safety policy that the task allows, with or without a limit.

    Raises:
        CorpusError: where a metric cannot be computed on the scores.
    """
    operating: tuple[Check, ...] = ()
    if isinstance(pair.challenger, TrialScores):
        champion = pair.champion if isinstance(pair.champion, TrialScores) else None
        operating = operating_point_checks(pair.challenger, champion, policy, pair.closed_set, measured)
    worst = (worst_condition(pair, policy),) if pair.slices else ()
    return (
        *operating,
        plausible_improvement(pair.found, policy, measured.subject),
        *worst,
        other_slots(measured.neighbourhood, policy),
        backbone_unchanged(measured),
        *_budgets(policy, measured),
    )


def worst_condition(pair: Pair, policy: GatePolicy) -> Check:
    """The absolute limit of the recording condition that fares worst.

    All conditions must lie within it at the upper end, which needs no correction (Berger 1982, an intersection-union
    test); it is broken where one lies above beyond chance over all of them (Holm). Those under `min_slice` do not
    count.
    """
    name, limit = "worst condition", policy.safety.max_slice
    values = {
        found.name: found.challenger
        for found in pair.slices
        if found.size >= policy.min_slice and found.challenger is not None
    }
    if not values:
        told = f"no condition has {policy.min_slice} {pair.found.counted} or more"
        return Check(name, limit is None, told, undecided=limit is not None, derived=True)
    worst = max(values, key=lambda condition: values[condition])
    told = f"{worst} with {title(pair.found.metric)} {percent(values[worst])}"
    if limit is None:
        return Check(name, True, f"{told}, no limit is set", derived=True)
    at_limit = replace(policy, limit=limit)
    places = conditions(pair.challenger)
    intervals = {
        condition: compare(pair.challenger.select(places[condition]), None, at_limit, pair.closed_set).challenger
        for condition in values
    }
    broken = holm({key: exceeds(found, limit) for key, found in intervals.items()}, (1.0 - policy.confidence) / 2)
    unclear = sorted(broken or {key for key, found in intervals.items() if judge(found, limit) != "passed"})
    outcome: Outcome = "failed" if broken else "undecided" if unclear else "passed"
    where = f" ({_some(unclear)})" if unclear else ""
    bound = f"{LIMIT[outcome]} the limit of {percent(limit)} for every condition"
    detail = f"{told} ({spread(intervals[worst])}), {bound}{where}"
    return Check(name, outcome == "passed", detail, outcome == "undecided", derived=True)


def other_slots(found: Neighbourhood, policy: GatePolicy) -> Check:
    """Whether the champions of other slots answer bit for bit alike, with the challenger in their batches and after."""
    name = "other slots"
    if policy.safety.neighbours == 0:
        return Check(name, True, "switched off by the policy: gate.safety.neighbours is 0", derived=True)
    changed = [f"{n.slot} v{n.version}" for n in found.compared if not n.unchanged]
    told = f"{len(found.compared)} of {count(found.slots, 'other slot')} compared"
    if found.skipped:
        told += f", not compared: {_some(found.skipped, '; ')}"
    if not found.compared:
        return Check(name, True, told, derived=True)
    if not found.repeatable:
        told += "; this machine does not give the same bits twice even without the challenger: judge on another one"
        return Check(name, False, told, undecided=True, derived=True)
    if changed:
        return Check(name, False, f"{told}; the challenger changes the answers of {_some(changed)}", derived=True)
    names = _some([f"{n.slot} v{n.version}" for n in found.compared])
    return Check(name, True, f"{told}, bit for bit the same beside the challenger: {names}", derived=True)


def backbone_unchanged(measured: Measured) -> Check:
    """Whether the shared backbone's tensors in memory are what they were before the challenger ran."""
    same = measured.backbone_before == measured.backbone_after
    told = (
        f"tensors in memory {measured.backbone_before} before, {'the same' if same else measured.backbone_after} after"
    )
    return Check("backbone unchanged", same, told, derived=True)


def _budgets(policy: GatePolicy, measured: Measured) -> Iterator[Check]:
    safety, speed = policy.safety, measured.speed
    on = f"on {speed.seconds:.1f} s of audio, {speed.device}"
    rows = (
        ("bundle size", measured.bundle_bytes / 1e6, safety.max_megabytes, "{:.2f} MB", ""),
        ("parameters", measured.parameters, safety.max_parameters, "{:,}", ""),
        ("slowdown", speed.slowdown, safety.max_slowdown, "{:.2f} times the backbone alone", on),
        ("real-time factor", speed.real_time_factor, safety.max_real_time_factor, "{:.4f}", on),
    )
    for name, got, limit, form, where in rows:
        told = f"{form.format(got)}{f' ({where})' if where else ''}, "
        told += "no limit is set" if limit is None else f"at most {form.format(limit)}"
        yield Check(name, limit is None or got <= limit, told, derived=True)


def _some(names: Sequence[str], between: str = ", ") -> str:
    rest = len(names) - SHOWN
    return between.join(names[:SHOWN]) + (f"{between}{rest} more" if rest > 0 else "")
