"""Learning rate over the course of an iteration."""

from __future__ import annotations

import math


def progress(step: int, steps: int, minutes: float, max_minutes: float) -> float:
    """Return the share of the iteration that is done, 0 to 1: by steps or by wall clock, whichever is larger."""
    return min(1.0, max(step / steps, minutes / max_minutes))


def rate_factor(done: float, warm_up: float) -> float:
    """Return the factor of the peak rate at `done`: linear up during `warm_up`, then half a cosine down to 1 %."""
    if done < warm_up:
        return max(done, 1e-4) / warm_up
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))
