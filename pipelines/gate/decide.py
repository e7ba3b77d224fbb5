"""From two sets of scores and a policy to a verdict. Pure and seeded: the same input gives the same verdict.

With Δ = challenger − champion and margin m:

- passed where the upper bound of Δ is at most m and the upper bound of the challenger's own value at most the limit;
- failed where the lower bound of Δ is above m, the lower bound of the value above the limit, a slice is shown to be
  worse (Holm), or a check failed;
- undecided otherwise.

Without a champion the absolute limit alone decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from elp_core.metrics.scores import title
from pipelines.gate.compare import Comparison, Scores, compare
from pipelines.gate.interval import Interval, further_blocks
from pipelines.gate.slices import judge_slices
from pipelines.gate.verdict import Bounds, Check, Outcome, SliceResult, Verdict
from pipelines.settings import GatePolicy


def decide(
    challenger: Scores,
    champion: Scores | None,
    policy: GatePolicy,
    checks: Sequence[Check] = (),
    *,
    closed_set: bool = False,
) -> Verdict:
    """Compare `challenger` with `champion` (None: there is none yet) on the clips both were scored on.

    Args:
        challenger: scores of the adapter that asks to be promoted.
        champion: scores of the present one, same clips in the same order.
        policy: declared limits; its `resamples` and `seed` fix the draws.
        checks: conditions beside the statistics.
        closed_set: the golden set's speakers were declared as heard in training: clips are resampled, not speakers.

    Raises:
        CorpusError: where the two were not scored on the same clips, or the metric cannot be computed on them.
    """
    found = compare(challenger, champion, policy, closed_set)
    slices = judge_slices(challenger, champion, policy, closed_set, found)
    limit = judge(found.challenger, policy.limit)
    margin = judge(found.delta, policy.margin) if found.delta else None
    parts = [limit] if margin is None else [margin, limit]
    refused = any(not c.passed for c in checks) or any(s.outcome == "failed" for s in slices) or "failed" in parts
    outcome: Outcome = "failed" if refused else "passed" if set(parts) == {"passed"} else "undecided"
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
    )


def judge(found: Interval, target: float) -> Outcome:
    """Where the interval lies against a limit on the true value."""
    if found.upper <= target:
        return "passed"
    return "failed" if found.lower > target else "undecided"


def _needed(found: Comparison, policy: GatePolicy, limit: Outcome, margin: Outcome | None) -> int | None:
    """Further blocks at which every undecided part would be decided; None where one never would."""
    wanted = [further_blocks(found.challenger, policy.limit)] if limit == "undecided" else []
    if found.delta and margin == "undecided":
        wanted.append(further_blocks(found.delta, policy.margin))
    return None if None in wanted else max(number for number in wanted if number is not None)


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
    ranked: list[tuple[int, str]] = [(0, f"check {c.name} failed: {c.detail}") for c in checks if not c.passed]
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
    change = f"{metric} changed by {points(delta.value)} ({_range(delta.lower, delta.upper)})"
    verdict = {
        "passed": f"no worse than the allowed {points(policy.margin)}",
        "failed": f"worse than the allowed {points(policy.margin)} even at the better end",
        "undecided": f"the allowed {points(policy.margin)} lies within this range",
    }
    return f"{change}: {verdict[outcome]}"


def _limit_words(value: Interval, policy: GatePolicy, outcome: Outcome, metric: str) -> str:
    low, high = 100 * max(0.0, value.lower), 100 * value.upper
    spread = f"between {low:.2f} and {high:.2f} %" if math.isfinite(high) else "the spread is unknown"
    own = f"{metric} {percent(value.value)} ({spread})"
    verdict = {"passed": "within", "failed": "above", "undecided": "not clearly within"}
    return f"{own} is {verdict[outcome]} the absolute limit of {percent(policy.limit)}"


def _needed_words(found: Comparison, needed: int | None, blocks: int | None) -> str:
    size = _count(found.clips, "clip") + (f" of {_count(found.blocks, 'speaker')}" if found.unit == "speakers" else "")
    if needed is None or blocks is None:
        return f"the golden set of {size} cannot decide this, and no larger one would at the difference observed"
    more = f"about {_count(needed, 'more clip')}" + (
        f" ({_count(blocks, 'more speaker')})" if found.unit == "speakers" else ""
    )
    return f"the golden set of {size} is too small: {more} would decide what was observed"


def percent(share: float) -> str:
    """A share as a percentage for people."""
    return "unknown" if not math.isfinite(share) else f"{100 * share:.2f} %"


def points(share: float) -> str:
    """A difference of shares in percentage points, signed."""
    return "unknown" if not math.isfinite(share) else f"{100 * share:+.2f} points".replace("-", "−")


def _range(lower: float, upper: float) -> str:
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return "the spread is unknown"
    return f"between {100 * lower:+.2f} and {100 * upper:+.2f}".replace("-", "−")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _rank(outcome: Outcome) -> int:
    return {"failed": 0, "undecided": 1, "passed": 2}[outcome]


def _bounds(found: Interval) -> Bounds:
    return found.lower, found.upper
