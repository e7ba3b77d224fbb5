"""Whether a slot is retrained because of what the monitor found: a pure decision with its reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipelines.number_text import count
from pipelines.registry.policies import RetrainPolicy

if TYPE_CHECKING:
    from pipelines.monitoring.look import AudioLook

CONFIDENCE = "confidence"
_FALL = 0.25
"""Share of the way to an alarm from which a lower confidence counts as a fall."""


@dataclass(frozen=True)
class RetrainFacts:
    """What a decision follows from."""

    alarm: bool
    confidence_fell: bool
    champion_days: float
    """Age of the champion."""
    new_clips: int
    """Clips of the newest dataset version in excess of the champion's."""
    days_since_start: float | None
    """Days since the monitor last started a retraining of the slot; None if it never did."""
    slot_starts: int
    """Retrainings of the slot that the monitor started in the last 7 days."""
    fleet_starts: int
    """Those of all slots."""


@dataclass(frozen=True)
class RetrainDecision:
    """What is done, and why."""

    outcome: Literal["started", "asked", "held back", "not needed"]
    """``asked`` is a request of which no run was seen."""
    reasons: tuple[str, ...]


def confidence_fell(look: AudioLook) -> bool:
    """Return whether a look found a lower confidence of the champion."""
    return any(move.name == CONFIDENCE and move.deviations < 0 and move.evidence >= _FALL for move in look.moves)


def decide_retrain(facts: RetrainFacts, policy: RetrainPolicy) -> RetrainDecision:
    """Return whether to retrain: drift and a falling confidence, an old champion, or enough new clips.

    A cooldown and the budgets of a week, of the slot and of all slots, hold a start back. Drift alone is no loss: a
    champion that is as sure as before is not replaced for it.
    """
    wanted = _causes(facts, policy)
    if not wanted:
        drift = ("the audio changed, but the champion's confidence did not fall",) if facts.alarm else ()
        return RetrainDecision("not needed", drift or ("no change, no limit reached",))
    held = []
    if facts.days_since_start is not None and facts.days_since_start < policy.cooldown_days:
        held.append(f"cooldown: the last start was {facts.days_since_start:.1f} days ago, of {policy.cooldown_days:g}")
    if facts.slot_starts >= policy.weekly:
        held.append(f"weekly budget of the slot: {count(facts.slot_starts, 'start')}, of {policy.weekly}")
    if facts.fleet_starts >= policy.fleet_weekly:
        held.append(f"weekly budget of all slots: {count(facts.fleet_starts, 'start')}, of {policy.fleet_weekly}")
    return RetrainDecision("held back", (*wanted, *held)) if held else RetrainDecision("started", wanted)


def _causes(facts: RetrainFacts, policy: RetrainPolicy) -> tuple[str, ...]:
    causes = []
    if facts.alarm and facts.confidence_fell:
        causes.append("the audio changed and the champion's confidence fell")
    if policy.max_age_days is not None and facts.champion_days >= policy.max_age_days:
        causes.append(f"the champion is {facts.champion_days:.0f} days old, limit {policy.max_age_days:g}")
    if policy.new_clips is not None and facts.new_clips >= policy.new_clips:
        causes.append(f"{count(facts.new_clips, 'new clip')}, limit {policy.new_clips}")
    return tuple(causes)
