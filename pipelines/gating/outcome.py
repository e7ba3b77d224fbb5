"""The three answers: of one number against its limit, and of several together."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.gating.interval import Interval
from pipelines.registry.verdict import Outcome


def judge(found: Interval, target: float) -> Outcome:
    """Where the interval lies against a limit on the true value."""
    if found.upper <= target:
        return "passed"
    return "failed" if found.lower > target else "undecided"


def combine(parts: Sequence[Outcome]) -> Outcome:
    """Failed where one part failed, passed where all did."""
    return "failed" if "failed" in parts else "undecided" if "undecided" in parts else "passed"
