"""Figures of a comparison as people read them."""

from __future__ import annotations

from pipelines.comparison.difference import Difference
from pipelines.comparison.trial import Trial


def percent(share: float) -> str:
    """A share as per cent, two digits."""
    return f"{100 * share:.2f} %"


def span(trial: Trial) -> str:
    """The interval of a trial's metric."""
    return "unknown" if trial.upper is None else within(trial.lower, trial.upper)


def change(one: Difference) -> str:
    """A difference and its interval, in points."""
    if one.lower is None or one.upper is None:
        return f"{100 * one.value:+.1f} points (interval unknown)"
    return f"{100 * one.value:+.1f} points ({100 * one.lower:+.1f} … {100 * one.upper:+.1f})"


def within(lower: float, upper: float) -> str:
    """Two shares as the bounds of an interval, per cent."""
    return f"{100 * lower:.1f} … {100 * upper:.1f} %"


def millions(count: int) -> str:
    """A number of parameters."""
    return f"{count / 1e6:.2f} M"


def size(count: int) -> str:
    """Bytes as MB or GB."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
