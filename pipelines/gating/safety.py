"""The safety checks: the policy's limits on everything except the metric itself. Pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from elp_core.metrics.scores import TrialScores
from pipelines.gating.compare import PairedComparison, compare_scores
from pipelines.gating.interval import LIMIT_WORDS, p_value_above
from pipelines.gating.operating_point import operating_point_checks
from pipelines.gating.slices import condition_slices, holm
from pipelines.number_text import count, metric_title, percent
from pipelines.registry.evidence_scores import Scores
from pipelines.registry.policies import GatePolicy
from pipelines.registry.verdict import GateCheck, Interference, Measured, Outcome, SliceResult

SHOWN = 4
"""Number of names listed in one sentence; the others are counted."""


def safety_checks(
    challenger: Scores,
    champion: Scores | None,
    found: PairedComparison,
    slices: Sequence[SliceResult],
    closed_set: bool,
    policy: GatePolicy,
    measured: Measured,
) -> tuple[GateCheck, ...]:
    """Return every check of the safety policy that applies to the task, with or without a limit."""
    # the order of the checks is that of the evidence: decided again, it must be the same
    operating: tuple[GateCheck, ...] = ()
    if isinstance(challenger, TrialScores):
        other = champion if isinstance(champion, TrialScores) else None
        operating = operating_point_checks(challenger, other, policy, closed_set, measured)
    return (
        *operating,
        plausible_improvement(found, policy, measured.subject),
        *((_worst_condition(challenger, slices, closed_set, policy),) if condition_slices(challenger) else ()),
        _other_slots(measured.interference, policy),
        _backbone_unchanged(measured),
        *_budgets(policy, measured),
    )


def plausible_improvement(found: PairedComparison, policy: GatePolicy, subject: str) -> GateCheck:
    """Return the leakage alarm: undecided, not failed, if the challenger is better than the policy holds plausible.

    Let r be the largest plausible share of the champion's errors that may disappear, and c and b the two systems'
    values. The alarm is raised if c − (1 − r)·b is below 0 even at the upper end of its interval, from the same draws
    as the comparison, or if c is below the least plausible value in the same way. A golden set that is too small shows
    neither. Until a person has looked, the version is not promoted.
    """
    metric, own, details, alarm = metric_title(found.metric), found.challenger, list[str](), False
    most, least = policy.safety.max_improvement, policy.safety.least_metric
    if found.champion is not None and most is not None:
        before, kept = found.champion.value, 1.0 - most
        draws = found.draws[0] - kept * found.draws[1]
        rest = found.interval_of(own.value - kept * before, draws, kept * before, policy.confidence)
        removed = max(0.0, 1.0 - own.value / before) if before > 0 else 0.0
        details.append(
            f"{percent(removed)} of the champion's {metric} of {percent(before)} is removed, "
            f"at most {percent(most)} is plausible"
        )
        alarm |= rest.upper < 0.0
    if least is not None:
        value = found.interval_of(own.value, found.draws[0], least, policy.confidence)
        details.append(f"{metric} {percent(own.value)} ({value.text}), {percent(least)} or more is plausible")
        alarm |= value.upper < least
    if not details:
        details = [f"{metric} {percent(own.value)}, no limit applies"]
    if alarm:
        details.append(
            "better than plausible, as if the golden set were in the training data: see what it was trained on with "
            f"elp audit {subject}; if the result is genuine, change gate.safety.max_improvement or least_metric in "
            "elp.yaml and gate it again"
        )
    return GateCheck("plausible improvement", not alarm, "; ".join(details), undecided=alarm, derived=True)


def _worst_condition(
    challenger: Scores, slices: Sequence[SliceResult], closed_set: bool, policy: GatePolicy
) -> GateCheck:
    """Return the check of the absolute limit on the recording condition with the highest metric.

    All conditions must be within it at the upper end, which needs no correction (Berger 1982, an intersection-union
    test). It fails if one condition is above it beyond chance over all of them (Holm). Conditions smaller than
    `min_slice` do not count.
    """
    name, limit = "worst condition", policy.safety.max_slice
    recorded = condition_slices(challenger)
    counted = [s for s in slices if s.kind == "condition" and s.size >= policy.min_slice and s.name in recorded]
    values = {s.name: s.challenger for s in counted if s.challenger is not None}
    if not values:
        detail = f"no condition has {policy.min_slice} {challenger.unit} or more"
        return GateCheck(name, limit is None, detail, undecided=limit is not None, derived=True)
    worst = max(values, key=lambda condition: values[condition])
    detail = f"{worst} with {metric_title(challenger.metric)} {percent(values[worst])}"
    if limit is None:
        return GateCheck(name, True, f"{detail}, no limit is set", derived=True)
    at_limit = replace(policy, limit=limit)
    intervals = {
        condition: compare_scores(challenger.select(recorded[condition]), None, at_limit, closed_set).challenger
        for condition in values
    }
    broken = holm({key: p_value_above(found, limit) for key, found in intervals.items()}, (1.0 - policy.confidence) / 2)
    unclear = sorted(broken or {key for key, found in intervals.items() if found.judge(limit) != "passed"})
    outcome: Outcome = "failed" if broken else "undecided" if unclear else "passed"
    bound = f"{LIMIT_WORDS[outcome]} the limit of {percent(limit)} for every condition"
    detail = f"{detail} ({intervals[worst].text}), {bound}{f' ({_listed(unclear)})' if unclear else ''}"
    return GateCheck(name, outcome == "passed", detail, outcome == "undecided", derived=True)


def _other_slots(found: Interference, policy: GatePolicy) -> GateCheck:
    """Return the interference check: other slots' champions answer bit for bit the same with the challenger loaded."""
    outcome: Outcome = "passed"
    names = {f"{n.slot} v{n.version}": n.unchanged for n in found.compared}
    changed = [name for name, unchanged in names.items() if not unchanged]
    detail = f"{len(found.compared)} of {count(found.slots, 'other slot', 'd')} compared"
    if found.skipped:
        detail += f", not compared: {_listed(found.skipped, '; ')}"
    if policy.safety.interference_slots == 0:
        detail = "switched off by the policy: gate.safety.interference_slots is 0"
    elif names and not found.repeatable:
        outcome, machine = "undecided", "this machine gives different bits even without the challenger"
        detail += f"; {machine}; gate the version on another machine"
    elif changed:
        outcome, detail = "failed", f"{detail}; the challenger changes the answers of {_listed(changed)}"
    elif names:
        detail += f", bit for bit the same with the challenger loaded: {_listed(list(names))}"
    return GateCheck("interference", outcome == "passed", detail, undecided=outcome == "undecided", derived=True)


def _backbone_unchanged(measured: Measured) -> GateCheck:
    before, after = measured.backbone_before, measured.backbone_after
    detail = f"tensors in memory {before} before, {'the same' if before == after else after} after"
    return GateCheck("backbone unchanged", before == after, detail, derived=True)


def _budgets(policy: GatePolicy, measured: Measured) -> Iterator[GateCheck]:
    safety, speed = policy.safety, measured.speed
    timed = f" (on {speed.seconds:.1f} s of audio, {speed.device})"
    rows = (
        ("bundle size", measured.bundle_bytes / 1e6, safety.max_megabytes, "{:.2f} MB", ""),
        ("parameters", measured.parameters, safety.max_parameters, "{:,}", ""),
        ("slowdown", speed.slowdown, safety.max_slowdown, "{:.2f} times the backbone alone", timed),
        ("real-time factor", speed.real_time_factor, safety.max_real_time_factor, "{:.4f}", timed),
    )
    for name, value, limit, form, note in rows:
        allowed = "no limit is set" if limit is None else f"at most {form.format(limit)}"
        detail = f"{form.format(value)}{note}, {allowed}"
        yield GateCheck(name, limit is None or value <= limit, detail, derived=True)


def _listed(names: Sequence[str], between: str = ", ") -> str:
    rest = len(names) - SHOWN
    return between.join(names[:SHOWN]) + (f"{between}{rest} more" if rest > 0 else "")
