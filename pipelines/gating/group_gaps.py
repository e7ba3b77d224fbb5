"""The worst and the best group of each key, and how far apart they are: the gap, with its interval.

The gap of a key is max − min of the metric over its values. Both ends are chosen by what was observed, so the interval
of that one pair would be too optimistic. Instead all pairs are compared on the same resamples of the speakers:

- lower end: the largest lower bound over the ordered pairs of all keys, each at the level (1 − confidence) / 2 divided
  by their number (Bonferroni). The chance that any gap is declared too large by mistake stays at (1 − confidence) / 2.
- upper end: the largest upper bound over the pairs of the key. One of them is the true pair, so no correction is
  needed (Berger 1982, an intersection-union test).

The number of blocks in an interval is that of the smaller group: three speakers of one dialect are three, however many
speak the other one.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from elp_core.errors import CorpusError
from elp_core.groups import group_values
from elp_core.metrics.bootstrap import Blocks, resample_eer, resample_errors
from elp_core.metrics.scores import ClipScores, FloatArray, IntArray, TrialScores
from pipelines.gating.compare import blocks_for, metric_value, token_count
from pipelines.gating.interval import LIMIT_WORDS, Interval, binomial_error, confidence_interval
from pipelines.registry.evidence_scores import Scores
from pipelines.registry.policies import GatePolicy
from pipelines.registry.verdict import Bounds, GateCheck, GroupGap, Outcome

NO_GROUPS = (
    "the golden set has no groups, so the limit on the gap cannot be applied; pin a golden set of clips with groups "
    "(group in the manifest), or remove gate.max_gap in elp.yaml"
)
"""Detail of the check of a limit on gaps if no clip has a group."""


@dataclass(frozen=True)
class _Value:
    """One value of a key in both systems, the challenger first."""

    name: str
    rates: tuple[float, ...]
    draws: FloatArray
    """float64 [systems, R], on the resamples that all values share."""
    tokens: float
    clips: int
    blocks: int


def group_positions(scores: Scores) -> dict[str, dict[str, IntArray]]:
    """Return the positions of the clips with each value of each key, or of the trials whose two clips have it."""
    if not any(scores.groups):
        return {}
    places = {text: place for place, text in enumerate(dict.fromkeys(scores.groups))}
    values = [group_values(text) for text in places]
    of_clip = np.array([places[text] for text in scores.groups])
    found: dict[str, dict[str, IntArray]] = {}
    for key in sorted({key for one in values for key in one}):
        found[key] = {}
        for value in sorted({one[key] for one in values if key in one}):
            member = np.isin(of_clip, [place for place, one in enumerate(values) if one.get(key) == value])
            both = member if isinstance(scores, ClipScores) else member[scores.a] & member[scores.b]
            found[key][value] = np.flatnonzero(both)
    return found


def measure_gaps(
    challenger: Scores, champion: Scores | None, policy: GatePolicy, closed_set: bool
) -> tuple[GroupGap, ...]:
    """Return the gap of each key, by key; an empty tuple if no clip has a group.

    Values with fewer than `min_slice` clips (target trials) are left out. A key with less than two others has no gap.
    """
    systems = [challenger] if champion is None else [challenger, champion]
    by_key = {key: _large_enough(challenger, at, policy) for key, at in group_positions(challenger).items()}
    blocks = blocks_for(challenger, closed_set)
    values = {key: _values(systems, at, blocks, policy) for key, at in by_key.items()}
    pairs = sum(len(found) * (len(found) - 1) for found in values.values())
    return tuple(_gap(key, found, challenger, policy, pairs) for key, found in values.items())


def gap_checks(gaps: Sequence[GroupGap], policy: GatePolicy) -> tuple[GateCheck, ...]:
    """Return the check of the policy's limit on the gap of each key; none without a limit.

    A limit that nothing can be measured against is one undecided check.
    """
    if policy.max_gap is None:
        return ()
    if not gaps:
        return (GateCheck("gap of groups", False, NO_GROUPS, undecided=True, derived=True),)
    return tuple(
        GateCheck(f"gap of {gap.key}", gap.outcome == "passed", gap.note, gap.outcome == "undecided", derived=True)
        for gap in gaps
    )


def _large_enough(scores: Scores, values: Mapping[str, IntArray], policy: GatePolicy) -> dict[str, IntArray]:
    return {name: at for name, at in values.items() if scores.select(at).size >= policy.min_slice}


def _values(
    systems: Sequence[Scores], by_value: Mapping[str, IntArray], blocks: Blocks, policy: GatePolicy
) -> list[_Value]:
    """Return the values whose metric can be computed, with draws on the same resamples."""
    rates: dict[str, tuple[float, ...]] = {}
    for name, at in by_value.items():
        try:
            rates[name] = tuple(metric_value(system.select(at)) for system in systems)
        except CorpusError:
            # such as a value with target trials alone
            continue
    if len(rates) < 2:
        return []
    parts = [_part(system, by_value[name]) for name in rates for system in systems]
    drawn = _drawn(parts, blocks, policy)
    found = []
    for place, name in enumerate(rates):
        part = systems[0].select(by_value[name])
        number = len(np.unique(blocks.index[_clips_of(systems[0], by_value[name])]))
        draws = drawn[place * len(systems) : (place + 1) * len(systems)]
        found.append(_Value(name, rates[name], draws, token_count(part), len(part.ids), number))
    return found


def _part(scores: Scores, at: IntArray) -> Scores:
    """Return scores of the same clips, in which only those at some positions count."""
    if isinstance(scores, ClipScores):
        errors, tokens = np.zeros_like(scores.errors), np.zeros_like(scores.tokens)
        errors[at], tokens[at] = scores.errors[at], scores.tokens[at]
        return replace(scores, errors=errors, tokens=tokens)
    return replace(scores, a=scores.a[at], b=scores.b[at], scores=scores.scores[at], targets=scores.targets[at])


def _drawn(parts: Sequence[Scores], blocks: Blocks, policy: GatePolicy) -> FloatArray:
    clips = [part for part in parts if isinstance(part, ClipScores)]
    if clips:
        return resample_errors(clips, blocks, policy.resamples, policy.seed)
    trials = [part for part in parts if isinstance(part, TrialScores)]
    return resample_eer(trials, blocks, policy.resamples, policy.seed)


def _clips_of(scores: Scores, at: IntArray) -> IntArray:
    return at if isinstance(scores, ClipScores) else np.concatenate([scores.a[at], scores.b[at]])


def _gap(key: str, values: Sequence[_Value], scores: Scores, policy: GatePolicy, pairs: int) -> GroupGap:
    if len(values) < 2:
        note = f"fewer than two groups of {key} have {policy.min_slice} {scores.unit} or more"
        return GroupGap(key, "passed" if policy.max_gap is None else "undecided", 0, note=note)
    worst, best = (choose(values, key=lambda one: one.rates[0]) for choose in (max, min))
    value = round(worst.rates[0] - best.rates[0], 12)
    interval = _interval(values, 0, policy, pairs)
    outcome: Outcome = "passed"
    if policy.max_gap is not None and interval[1] > policy.max_gap:
        outcome = "failed" if interval[0] > policy.max_gap else "undecided"
    before = span = None
    if len(worst.rates) > 1:
        rates = [one.rates[1] for one in values]
        before, span = round(max(rates) - min(rates), 12), _interval(values, 1, policy, pairs)
    found = GroupGap(
        key, outcome, len(values), worst.name, best.name, worst.rates[0], best.rates[0], value, interval, before, span
    )
    return replace(found, note=_note(found, policy))


def _note(gap: GroupGap, policy: GatePolicy) -> str:
    if policy.max_gap is None:
        return gap.sentence
    return f"{gap.sentence}; {LIMIT_WORDS[gap.outcome]} the limit of {100 * policy.max_gap:.2f} points"


def _interval(values: Sequence[_Value], system: int, policy: GatePolicy, pairs: int) -> Bounds:
    """Return the interval of the gap in one system; it is unknown above if a group has one block."""
    strict = 1.0 - (1.0 - policy.confidence) / pairs
    lower, upper = 0.0, 0.0
    for one, other in itertools.combinations(values, 2):
        adjusted = _difference(one, other, system, policy, strict)
        plain = _difference(one, other, system, policy, policy.confidence)
        lower = max(lower, adjusted.lower, -adjusted.upper)
        upper = max(upper, plain.upper, -plain.lower)
    return lower, upper


def _difference(one: _Value, other: _Value, system: int, policy: GatePolicy, confidence: float) -> Interval:
    rates = one.rates[system], other.rates[system]
    # errors are whole numbers: at the limit, a group has at least so many
    pooled = max((rates[0] * one.tokens + rates[1] * other.tokens) / (one.tokens + other.tokens), policy.max_gap or 0.0)
    floor = math.hypot(binomial_error(pooled, one.tokens), binomial_error(pooled, other.tokens))
    draws, blocks = one.draws[system] - other.draws[system], min(one.blocks, other.blocks)
    clips = min(one.clips, other.clips)
    return confidence_interval(rates[0] - rates[1], draws, blocks, floor, clips, confidence)
