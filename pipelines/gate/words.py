"""Numbers in sentences for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.gate.interval import Interval

LIMIT = {"passed": "within", "failed": "above", "undecided": "not clearly within"}
"""How a value lies to its limit, by outcome."""


def percent(share: float) -> str:
    """A share as a percentage."""
    return "unknown" if not math.isfinite(share) else f"{100 * share:.2f} %"


def points(share: float) -> str:
    """A difference of shares in percentage points, signed."""
    return "unknown" if not math.isfinite(share) else f"{100 * share:+.2f} points".replace("-", "−")


def spread(found: Interval) -> str:
    """Where a share lies."""
    low, high = 100 * max(0.0, found.lower), 100 * found.upper
    return f"between {low:.2f} and {high:.2f} %" if math.isfinite(high) else "the spread is unknown"


def signed_spread(found: Interval) -> str:
    """Where a difference of shares lies, in points."""
    if not (math.isfinite(found.lower) and math.isfinite(found.upper)):
        return "the spread is unknown"
    return f"between {100 * found.lower:+.2f} and {100 * found.upper:+.2f}".replace("-", "−")


def count(number: int, noun: str) -> str:
    """``1 clip``, ``2 clips``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
