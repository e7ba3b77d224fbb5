"""Numbers in sentences for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.gating.interval import Interval

LIMIT = {"passed": "within", "failed": "above", "undecided": "not clearly within"}
"""How a value lies to its limit, by outcome."""


def spread(found: Interval) -> str:
    """Where a share lies."""
    low, high = 100 * max(0.0, found.lower), 100 * found.upper
    return f"between {low:.2f} and {high:.2f} %" if math.isfinite(high) else "the spread is unknown"


def signed_spread(found: Interval) -> str:
    """Where a difference of shares lies, in points."""
    if not (math.isfinite(found.lower) and math.isfinite(found.upper)):
        return "the spread is unknown"
    return f"between {100 * found.lower:+.2f} and {100 * found.upper:+.2f}".replace("-", "−")
