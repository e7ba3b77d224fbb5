"""The alarm for leakage: an adapter that is better than plausible is held back until a person has looked."""

from __future__ import annotations

from elp_core.metrics.scores import title
from pipelines.gating.compare import Comparison, bounds_at
from pipelines.gating.wording import spread
from pipelines.number_text import percent
from pipelines.registry.policies import GatePolicy
from pipelines.registry.verdict import Check


def plausible_improvement(found: Comparison, policy: GatePolicy, subject: str) -> Check:
    """Whether the challenger is shown to be better than the policy holds plausible; then it is undecided, not failed.

    With r the largest plausible share of the champion's errors to be gone, c and b the two systems' values: the alarm
    rings where c − (1 − r)·b lies below 0 even at the upper end of its interval, from the same draws as the comparison;
    and where c lies so below the least value that is believed. On too small a golden set neither is shown.
    """
    told, rings = _against_champion(found, policy)
    least_told, least_rings = _against_least(found, policy)
    told += least_told
    if not told:
        told = [f"{title(found.metric)} {percent(found.challenger.value)}, no limit applies"]
    alarm = rings or least_rings
    if alarm:
        told.append(
            f"better than plausible, as if the golden set had been heard: see what it learned from with elp audit "
            f"{subject}; if it is honest, move gate.safety.max_improvement or least_metric in elp.yaml, and gate again"
        )
    return Check("plausible improvement", not alarm, "; ".join(told), undecided=alarm, derived=True)


def _against_champion(found: Comparison, policy: GatePolicy) -> tuple[list[str], bool]:
    most = policy.safety.max_improvement
    if found.champion is None or most is None:
        return [], False
    own, before = found.challenger.value, found.champion.value
    kept = 1.0 - most
    rest = bounds_at(
        found, own - kept * before, found.draws[0] - kept * found.draws[1], kept * before, policy.confidence
    )
    gone = max(0.0, 1.0 - own / before) if before > 0 else 0.0
    told = f"{percent(gone)} of the champion's {title(found.metric)} of {percent(before)} is gone"
    return [f"{told}, plausible is {percent(most)} at most"], rest.upper < 0.0


def _against_least(found: Comparison, policy: GatePolicy) -> tuple[list[str], bool]:
    least = policy.safety.least_metric
    if least is None:
        return [], False
    value = bounds_at(found, found.challenger.value, found.draws[0], least, policy.confidence)
    own = f"{title(found.metric)} {percent(value.value)} ({spread(value)})"
    return [f"{own}, plausible is {percent(least)} or more"], value.upper < least
