"""From two sets of scores and a policy to a verdict. Pure and seeded: the same input gives the same verdict.

With Δ = challenger − champion and margin m:

- passed where the upper bound of Δ is at most m and the upper bound of the challenger's own value at most the limit;
- failed where the lower bound of Δ is above m, the lower bound of the value above the limit, a slice is shown to be
  worse (Holm), or a check failed;
- undecided otherwise, and where a check holds it back.

Without a champion the absolute limit alone decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from elp_core.metrics.scores import title
from pipelines.gating.compare import Comparison, Scores, compare
from pipelines.gating.interval import Interval, further_blocks
from pipelines.gating.outcome import combine, judge
from pipelines.gating.safety import Pair, safety_checks
from pipelines.gating.slices import judge_slices
from pipelines.gating.wording import LIMIT, signed_spread, spread
from pipelines.number_text import count, percent, points
from pipelines.registry.policies import GatePolicy
from pipelines.registry.verdict import Bounds, Check, Measured, Outcome, SliceResult, Verdict


def decide(
    challenger: Scores,
    champion: Scores | None,
    policy: GatePolicy,
    checks: Sequence[Check] = (),
    *,
    closed_set: bool = False,
    measured: Measured | None = None,
) -> Verdict:
    """Compare `challenger` with `champion` (None: there is none yet) on the clips both were scored on.

    Args:
        challenger: scores of the adapter that asks to be promoted.
        champion: scores of the present one, same clips in the same order.
        policy: declared limits; its `resamples` and `seed` fix the draws.
        checks: conditions beside the statistics.
        closed_set: the golden set's speakers were declared as heard in training: clips are resampled, not speakers.
        measured: what the policy's safety limits are laid to; None judges the scores alone.

    Raises:
        CorpusError: where the two were not scored on the same clips, or the metric cannot be computed on them.
    """
    found = compare(challenger, champion, policy, closed_set)
    slices = judge_slices(challenger, champion, policy, closed_set, found)
    limit = judge(found.challenger, policy.limit)
    margin = judge(found.delta, policy.margin) if found.delta else None
    if measured is not None:
        pair = Pair(challenger, champion, found, slices, closed_set)
        checks = (*checks, *safety_checks(pair, policy, measured))
    held = [limit] if margin is None else [margin, limit]
    held += [check.outcome for check in checks] + ["failed" for s in slices if s.outcome == "failed"]
    outcome = combine(held)
    blocks = _needed(found, policy, limit, margin) if outcome == "undecided" else None
    needed = None if blocks is None else math.ceil(blocks * found.clips / found.blocks)
    return Verdict(
        outcome=outcome,
        first_version=champion is None,
        metric=found.metric,
        challenger=found.challenger.value,
        champion=found.champion.value if found.champion else None,
        delta=found.delta.value if found.delta else None,
        interval=_bounds(found.delta) if found.delta else None,
        challenger_interval=_bounds(found.challenger),
        champion_interval=_bounds(found.champion) if found.champion else None,
        blocks=found.blocks,
        unit=found.unit,
        clips=found.clips,
        needed=needed,
        needed_blocks=blocks,
        closed_set=closed_set,
        slices=slices,
        checks=tuple(checks),
        reasons=_reasons(found, policy, limit, margin, checks, slices, needed, blocks),
        policy=policy,
        measured=measured,
    )


def _needed(found: Comparison, policy: GatePolicy, limit: Outcome, margin: Outcome | None) -> int | None:
    """Further blocks at which limit and margin would both be decided; None where they are, or one never would be."""
    wanted = [further_blocks(found.challenger, policy.limit)] if limit == "undecided" else []
    if found.delta and margin == "undecided":
        wanted.append(further_blocks(found.delta, policy.margin))
    known = [number for number in wanted if number is not None]
    return max(known) if known and len(known) == len(wanted) else None


def _reasons(
    found: Comparison,
    policy: GatePolicy,
    limit: Outcome,
    margin: Outcome | None,
    checks: Sequence[Check],
    slices: Sequence[SliceResult],
    needed: int | None,
    blocks: int | None,
) -> tuple[str, ...]:
    """Sentences for people: what failed first, then what is undecided, then what passed."""
    ranked = [(_rank(c.outcome), f"check {c.name} {_fate(c)}: {c.detail}") for c in checks if not c.passed]
    if found.delta and margin:
        ranked.append((_rank(margin), _margin_words(found.delta, policy, margin, title(found.metric))))
    else:
        ranked.append((2, "first version: there is no champion to compare with, the absolute limit alone decides"))
    ranked.append((_rank(limit), _limit_words(found.challenger, policy, limit, title(found.metric))))
    ranked += [(0, f"condition {s.name}: {s.note}") for s in slices if s.outcome == "failed"]
    if "undecided" in (limit, margin):
        ranked.append((1, _needed_words(found, needed, blocks)))
    ranked += [(3, f"condition {s.name} is undecided: {s.note}") for s in slices if s.outcome == "undecided"]
    return tuple(sentence for _, sentence in sorted(ranked, key=lambda item: item[0]))


def _margin_words(delta: Interval, policy: GatePolicy, outcome: Outcome, metric: str) -> str:
    change = f"{metric} changed by {points(delta.value)} ({signed_spread(delta)})"
    verdict = {
        "passed": f"no worse than the allowed {points(policy.margin)}",
        "failed": f"worse than the allowed {points(policy.margin)} even at the better end",
        "undecided": f"the allowed {points(policy.margin)} lies within this range",
    }
    return f"{change}: {verdict[outcome]}"


def _limit_words(value: Interval, policy: GatePolicy, outcome: Outcome, metric: str) -> str:
    own = f"{metric} {percent(value.value)} ({spread(value)})"
    return f"{own} is {LIMIT[outcome]} the absolute limit of {percent(policy.limit)}"


def _needed_words(found: Comparison, needed: int | None, blocks: int | None) -> str:
    size = count(found.clips, "clip") + (f" of {count(found.blocks, 'speaker')}" if found.unit == "speakers" else "")
    if needed is None or blocks is None:
        return f"the golden set of {size} cannot decide this, and no larger one would at the difference observed"
    more = f"about {count(needed, 'more clip')}" + (
        f" ({count(blocks, 'more speaker')})" if found.unit == "speakers" else ""
    )
    return f"the golden set of {size} is too small: {more} would decide what was observed"


def _fate(check: Check) -> str:
    return "holds the verdict back" if check.undecided else "failed"


def _rank(outcome: Outcome) -> int:
    return {"failed": 0, "undecided": 1, "passed": 2}[outcome]


def _bounds(found: Interval) -> Bounds:
    return found.lower, found.upper
