"""The same comparison on each recording condition and each group, with Holm's correction over all (Holm 1979)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from elp_core.errors import CorpusError
from elp_core.metrics.scores import ClipScores, IntArray
from pipelines.gating.compare import PairedComparison, compare_scores
from pipelines.gating.group_gaps import group_positions
from pipelines.gating.interval import p_value_above
from pipelines.gating.simulated_scores import SimulatedScores
from pipelines.registry.evidence_scores import Scores
from pipelines.registry.policies import GatePolicy
from pipelines.registry.verdict import Outcome, SliceKind, SliceResult

UNNAMED = "(none)"
"""Name of the slice of clips without a condition, if other clips have one."""
_NOTES = {
    "failed": "worse than allowed, beyond chance over all conditions",
    "passed": "no worse than allowed",
    "undecided": "the allowed difference is inside the interval",
}


def judge_slices(
    challenger: Scores,
    champion: Scores | None,
    policy: GatePolicy,
    closed_set: bool,
    whole: PairedComparison,
    simulated: Sequence[SimulatedScores] = (),
) -> tuple[SliceResult, ...]:
    """Return one result for each condition, for each group, by name, and for each simulated condition.

    The tuple is empty if there is none of them.

    A slice fails if it is worse than allowed at its Holm level. The chance of refusing an adapter that is no worse on
    any slice therefore stays at (1 − confidence) / 2 in total. A slice that is too small, or whose interval contains
    the margin, is undecided: it is reported and does not change the verdict. `whole`, the comparison on all clips, is
    used for a slice that contains all of them. Simulated conditions have the margin of their policy; without a champion
    they are reported only, because the absolute limit is one on the recordings as they are.
    """
    compared: dict[str, PairedComparison | str] = {}
    sizes: dict[str, int] = {}
    grouped = _group_slices(challenger)
    for name, at in (condition_slices(challenger) | grouped).items():
        part = challenger.select(at)
        sizes[name] = part.size
        try:
            compared[name] = (
                whole
                if len(at) == len(challenger)
                else compare_scores(part, champion.select(at) if champion else None, policy, closed_set)
            )
        except CorpusError as error:
            compared[name] = str(error)
    targets = dict.fromkeys(compared, policy.limit if champion is None else policy.margin)
    for one in simulated:
        # a recorded condition may have the same name
        name = one.name if one.name not in compared else f"{one.name}*"
        sizes[name], targets[name] = one.challenger.size, policy.robustness.margin if policy.robustness else 0.0
        compared[name] = _simulated(one, replace(policy, margin=targets[name]), closed_set)
    reported = set() if champion else set(list(compared)[len(compared) - len(simulated) :])
    p_values = {
        name: p_value_above(found.delta or found.challenger, targets[name])
        for name, found in compared.items()
        if isinstance(found, PairedComparison) and sizes[name] >= policy.min_slice and name not in reported
    }
    worse = holm(p_values, (1.0 - policy.confidence) / 2)
    notes = _NOTES | ({"failed": f"{_NOTES['failed']} and groups"} if grouped else {})
    results = []
    for name, found in compared.items():
        size, p = sizes[name], p_values.get(name)
        kind: SliceKind = "group" if name in grouped else "condition"
        if isinstance(found, str):
            results.append(SliceResult(name, "undecided", size, 0, None, None, None, None, found, kind))
            continue
        judged, before = found.delta or found.challenger, found.champion.value if found.champion else None
        outcome: Outcome = "failed" if name in worse else "passed" if judged.upper <= targets[name] else "undecided"
        note = notes[outcome]
        if p is None:
            outcome, note = "undecided", f"{size} {challenger.unit}, at least {policy.min_slice} are needed"
        if name in reported:
            note = "there is no champion to compare with"
        numbers = (found.challenger.value, before, (judged.lower, judged.upper), p)
        results.append(SliceResult(name, outcome, size, found.blocks, *numbers, note, kind))
    return tuple(results)


def _simulated(one: SimulatedScores, policy: GatePolicy, closed_set: bool) -> PairedComparison | str:
    try:
        return compare_scores(one.challenger, one.champion, policy, closed_set)
    except CorpusError as error:
        return str(error)


def holm(p_values: Mapping[str, float], level: float) -> set[str]:
    """Return the names whose hypothesis is rejected with a family-wise error of at most `level`."""
    rejected: set[str] = set()
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p > level / (len(p_values) - rank):
            break
        rejected.add(name)
    return rejected


def _group_slices(scores: Scores) -> dict[str, IntArray]:
    return {f"{key}={value}": at for key, values in group_positions(scores).items() for value, at in values.items()}


def condition_slices(scores: Scores) -> dict[str, IntArray]:
    """Return what `conditions` returns, by the name of each condition's slice."""
    grouped = _group_slices(scores)
    # a condition of such a name is the same words for other clips
    return {f"condition {name}" if name in grouped else name: at for name, at in conditions(scores).items()}


def conditions(scores: Scores) -> dict[str, IntArray]:
    """Return the positions of each condition's clips, or of the trials whose two clips are both in it, by name."""
    if not any(scores.conditions):
        return {}
    of_clip = np.array([name or UNNAMED for name in scores.conditions])
    if isinstance(scores, ClipScores):
        return {str(name): np.flatnonzero(of_clip == name) for name in np.unique(of_clip)}
    one, other = of_clip[scores.a], of_clip[scores.b]
    return {str(name): np.flatnonzero((one == name) & (other == name)) for name in np.unique(of_clip)}
