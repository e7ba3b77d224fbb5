"""Two sets of scores and a policy give a verdict. Pure and seeded: the same input gives the same verdict.

With Δ = challenger − champion and margin m:

- passed if the upper bound of Δ is at most m and the upper bound of the challenger's own value is at most the limit;
- failed if the lower bound of Δ is above m, the lower bound of the value is above the limit, a slice is shown to be
  worse (Holm), the gap between groups is shown to be above its limit, or another check failed;
- undecided otherwise, and if an undecided check prevents a pass.

Without a champion the absolute limit alone decides.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from elp_core.languages import NormaliserId
from pipelines.gating.compare import PairedComparison, compare_scores, token_count
from pipelines.gating.group_gaps import gap_checks, measure_gaps
from pipelines.gating.interval import LIMIT_WORDS, Interval, combine, further_blocks
from pipelines.gating.safety import safety_checks
from pipelines.gating.simulated_scores import SimulatedScores
from pipelines.gating.slices import judge_slices
from pipelines.number_text import count, metric_title, percent, points
from pipelines.registry.evidence_scores import Scores
from pipelines.registry.policies import GatePolicy
from pipelines.registry.verdict import GateCheck, Measured, Outcome, Verdict

_RANK = {"failed": 0, "undecided": 1, "passed": 2}
"""Order of the reasons; undecided slices come last, because they do not change the verdict."""


def decide_verdict(
    challenger: Scores,
    champion: Scores | None,
    policy: GatePolicy,
    checks: Sequence[GateCheck] = (),
    *,
    closed_set: bool = False,
    measured: Measured | None = None,
    normaliser: NormaliserId | None = None,
    simulated: Sequence[SimulatedScores] = (),
) -> Verdict:
    """Compare `challenger` with `champion` (None if the slot has no champion yet) on the clips both were scored on.

    `checks` are conditions in addition to the statistics; without `measured`, the scores alone are judged. `normaliser`
    is noted in the verdict. In a closed set, the golden set's speakers are also in the training data, so clips are
    resampled instead of speakers. `simulated` are further slices: both systems under simulated conditions. Raises
    CorpusError if the two were not scored on the same clips, or if the metric cannot be computed on them.
    """
    found = compare_scores(challenger, champion, policy, closed_set)
    slices = judge_slices(challenger, champion, policy, closed_set, found, simulated)
    limit = found.challenger.judge(policy.limit)
    margin = found.delta.judge(policy.margin) if found.delta else None
    gaps = measure_gaps(challenger, champion, policy, closed_set)
    checks = (*checks, *gap_checks(gaps, policy))
    if measured is not None:
        checks = (*checks, *safety_checks(challenger, champion, found, slices, closed_set, policy, measured))
    parts = [limit] if margin is None else [margin, limit]
    parts += [check.outcome for check in checks] + ["failed" for s in slices if s.outcome == "failed"]
    outcome = combine(parts)
    blocks = _needed_blocks(found, policy, limit, margin) if outcome == "undecided" else None
    champion_interval, delta = found.champion, found.delta
    verdict = Verdict(
        outcome=outcome,
        first_version=champion is None,
        metric=found.metric,
        challenger=found.challenger.value,
        champion=champion_interval.value if champion_interval else None,
        delta=delta.value if delta else None,
        interval=(delta.lower, delta.upper) if delta else None,
        challenger_interval=(found.challenger.lower, found.challenger.upper),
        champion_interval=(champion_interval.lower, champion_interval.upper) if champion_interval else None,
        blocks=found.blocks,
        unit=found.unit,
        clips=found.clips,
        needed=None if blocks is None else math.ceil(blocks * found.clips / found.blocks),
        needed_blocks=blocks,
        closed_set=closed_set,
        slices=slices,
        checks=tuple(checks),
        reasons=(),
        policy=policy,
        measured=measured,
        normaliser=normaliser,
        gaps=gaps,
    )
    return replace(verdict, reasons=_reasons(verdict, found, limit, margin, _counted_reason(challenger, verdict)))


def _needed_blocks(found: PairedComparison, policy: GatePolicy, limit: Outcome, margin: Outcome | None) -> int | None:
    """Return how many further blocks would decide both limit and margin; None if both are decided or one never is."""
    wanted = [further_blocks(found.challenger, policy.limit)] if limit == "undecided" else []
    if found.delta and margin == "undecided":
        wanted.append(further_blocks(found.delta, policy.margin))
    known = [number for number in wanted if number is not None]
    return max(known) if known and len(known) == len(wanted) else None


def _reasons(
    verdict: Verdict, found: PairedComparison, limit: Outcome, margin: Outcome | None, counted: str
) -> tuple[str, ...]:
    """Return the sentences for people: what failed first, then what is undecided, then what passed."""
    policy, slices = verdict.policy, verdict.slices
    ranked = [
        (_RANK[c.outcome], f"check {c.name} {'is undecided' if c.undecided else 'failed'}: {c.detail}")
        for c in verdict.checks
        if not c.passed
    ]
    metric = metric_title(found.metric)
    if margin is None or found.delta is None:
        ranked.append((2, "first version: there is no champion to compare with, the absolute limit alone decides"))
    else:
        ranked.append((_RANK[margin], f"{metric} {_margin_reason(found.delta, policy.margin, margin)}"))
    own = f"{metric} {percent(found.challenger.value)} ({found.challenger.text})"
    ranked.append((_RANK[limit], f"{own} is {LIMIT_WORDS[limit]} the absolute limit of {percent(policy.limit)}"))
    ranked += [(0, f"{s.kind} {s.name}: {s.note}") for s in slices if s.outcome == "failed"]
    if verdict.outcome == "undecided" and "undecided" in (limit, margin):
        ranked.append((1, _size_reason(verdict) + counted))
    if policy.max_gap is None:
        ranked += [(2, gap.sentence) for gap in verdict.gaps if gap.sentence]
    ranked += [(3, f"{s.kind} {s.name} is undecided: {s.note}") for s in slices if s.outcome == "undecided"]
    return tuple(sentence for _, sentence in sorted(ranked, key=lambda item: item[0]))


def _margin_reason(delta: Interval, margin: float, outcome: Outcome) -> str:
    allowed = f"the allowed {points(margin)}"
    verdict = {
        "passed": f"no worse than {allowed}",
        "failed": f"worse than {allowed} even at the lower end",
        "undecided": f"{allowed} is inside this range",
    }
    return f"changed by {points(delta.value)} ({delta.signed_text}): {verdict[outcome]}"


def _counted_reason(challenger: Scores, verdict: Verdict) -> str:
    """Return how many characters the sizes in clips stand for; nothing for metrics that count words, clips or trials.

    A clip of a script without spaces may be one word or fifty characters, so the clips alone say little.
    """
    if challenger.counted != "character":
        return ""
    present = token_count(challenger)
    more = math.ceil(present * verdict.needed / verdict.clips) if verdict.needed and verdict.clips else None
    wanted = "" if more is None else f", about {count(more, 'more character', 'd')}"
    return f"; in characters: {present:.0f} now{wanted}"


def _size_reason(verdict: Verdict) -> str:
    by_speaker = verdict.unit == "speakers"
    size = count(verdict.clips, "clip", "d") + (f" of {count(verdict.blocks, 'speaker', 'd')}" if by_speaker else "")
    if verdict.needed is None or verdict.needed_blocks is None:
        return f"the golden set of {size} cannot decide this, and no larger one would at the difference observed"
    speakers = f" ({count(verdict.needed_blocks, 'more speaker', 'd')})" if by_speaker else ""
    more = count(verdict.needed, "more clip", "d") + speakers
    return f"the golden set of {size} is too small: about {more} would decide what was observed"
