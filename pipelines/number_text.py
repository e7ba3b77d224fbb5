"""Numbers as people read them in sentences."""

from __future__ import annotations

import math


def percent(share: float) -> str:
    """Return a share as a percentage."""
    return "unknown" if not math.isfinite(share) else f"{100 * share:.2f} %"


def points(share: float) -> str:
    """Return a difference of shares in percentage points, signed."""
    return "unknown" if not math.isfinite(share) else f"{100 * share:+.2f} points".replace("-", "−")


def count(number: int, noun: str) -> str:
    """Return ``1 clip``, ``2 clips``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
