"""The alarm of one slot, and the slots of a fleet that changed: e-BH (Wang and Ramdas, arXiv 2009.02824)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from pipelines.monitoring.change_detector import DetectorState

RATE = 0.05
"""Share of slots that may alarm in a year without change; share of false ones among the slots that a fleet reports."""


def alarm_level(scores: int, rate: float = RATE) -> float:
    """Return the evidence at which one of `scores` scores of a slot alarms."""
    return scores / rate


def slot_e_value(states: Mapping[str, DetectorState]) -> float:
    """Return the e-value of a slot at one look, from the states of its scores: its mean without a change is 1 at most.

    It is the mean evidence of the scores, divided by the granted capital if that is over 1.
    """
    if not states:
        return 0.0
    return float(np.mean([float(state.evidence) / max(1.0, state.granted) for state in states.values()]))


def changed_slots(e_values: Mapping[str, float], rate: float = RATE) -> tuple[str, ...]:
    """Return the slots that changed, by decreasing e-value: at most a share `rate` of them is expected to be false.

    This holds for slots that depend on each other in any way. e-BH takes the largest k for which k slots have e-values
    of (number of slots) / (rate * k) or more.
    """
    ranked = sorted(e_values, key=lambda slot: (-e_values[slot], slot))
    reached = [k for k, slot in enumerate(ranked, start=1) if e_values[slot] >= len(ranked) / (rate * k)]
    return tuple(ranked[: max(reached, default=0)])


def share_of_level(state: DetectorState, scores: int, rate: float = RATE) -> float:
    """Return how far the evidence is on its way to an alarm on a logarithmic scale: 0 at 1 or less, 1 at the alarm."""
    return max(0.0, float(state.log_evidence)) / math.log(alarm_level(scores, rate))
