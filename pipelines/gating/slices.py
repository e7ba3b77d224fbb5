"""The same comparison on each recording condition, with Holm's correction over the conditions (Holm 1979)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from elp_core.errors import CorpusError
from elp_core.metrics.scores import ClipScores, IntArray
from pipelines.gating.compare import Comparison, Scores, compare
from pipelines.gating.interval import exceeds
from pipelines.registry.policies import GatePolicy
from pipelines.registry.verdict import Outcome, SliceResult

UNNAMED = "(none)"
"""Name of the slice of clips without a condition, where others have one."""


def judge_slices(
    challenger: Scores,
    champion: Scores | None,
    policy: GatePolicy,
    closed_set: bool,
    whole: Comparison | None = None,
) -> tuple[SliceResult, ...]:
    """One result a condition, by name; none where no clip has a condition.

    A slice fails where it is worse than allowed at its Holm level, so that the chance of refusing an adapter that is no
    worse on any slice stays at (1 − confidence) / 2 in all. A slice that is too small, or whose interval spans the
    margin, is undecided: it is reported, and holds nothing up. `whole`, the comparison on all clips where it was made
    before, is taken for a slice that holds them all.
    """
    target = policy.limit if champion is None else policy.margin
    slices = conditions(challenger)
    compared = {
        name: whole if whole and len(at) == len(challenger) else _compare(challenger, champion, at, policy, closed_set)
        for name, at in slices.items()
    }
    sizes = {name: _size(challenger, at) for name, at in slices.items()}
    tested = {
        name: exceeds(found.delta or found.challenger, target)
        for name, found in compared.items()
        if isinstance(found, Comparison) and sizes[name] >= policy.min_slice
    }
    worse = holm(tested, (1.0 - policy.confidence) / 2)
    return tuple(_result(name, compared[name], sizes[name], tested, name in worse, policy, target) for name in compared)


def holm(p_values: Mapping[str, float], level: float) -> set[str]:
    """Names whose hypothesis is rejected with a family-wise error of at most `level`."""
    rejected: set[str] = set()
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p > level / (len(p_values) - place):
            break
        rejected.add(name)
    return rejected


def conditions(scores: Scores) -> dict[str, IntArray]:
    """Positions of each condition's clips, or of the trials with both clips in it; sorted by name."""
    if not any(scores.conditions):
        return {}
    of_clip = np.array([name or UNNAMED for name in scores.conditions])
    if isinstance(scores, ClipScores):
        return {str(name): np.flatnonzero(of_clip == name) for name in np.unique(of_clip)}
    one, other = of_clip[scores.a], of_clip[scores.b]
    return {str(name): np.flatnonzero((one == name) & (other == name)) for name in np.unique(of_clip)}


def _compare(
    challenger: Scores, champion: Scores | None, at: IntArray, policy: GatePolicy, closed_set: bool
) -> Comparison | str:
    """The slice's comparison, or why there is none."""
    try:
        return compare(challenger.select(at), champion.select(at) if champion else None, policy, closed_set)
    except CorpusError as error:
        return str(error)


def _size(scores: Scores, at: IntArray) -> int:
    return len(at) if isinstance(scores, ClipScores) else int(scores.targets[at].sum())


def _result(
    name: str,
    found: Comparison | str,
    size: int,
    tested: Mapping[str, float],
    worse: bool,
    policy: GatePolicy,
    target: float,
) -> SliceResult:
    if isinstance(found, str):
        return SliceResult(name, "undecided", size, 0, None, None, None, None, found)
    judged = found.delta or found.challenger
    outcome: Outcome = "failed" if worse else "passed" if judged.upper <= target else "undecided"
    note = {
        "failed": "worse than allowed, beyond chance over all conditions",
        "passed": "no worse than allowed",
        "undecided": "the allowed difference lies within the interval",
    }[outcome]
    if name not in tested:
        outcome = "undecided"
        note = f"{size} {found.counted}, at least {policy.min_slice} are needed"
    champion = found.champion.value if found.champion else None
    bounds = (judged.lower, judged.upper)
    return SliceResult(
        name, outcome, size, found.blocks, found.challenger.value, champion, bounds, tested.get(name), note
    )
