"""How many labels, or how much audio, a way needs for the error that another one reaches, with its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Drawn = npt.NDArray[np.float64]
"""Values on the test clips as they are, then on resamples of them: [1 + draws]. All have the same resamples."""


def resampled(rows: Sequence[Mapping[str, Any]], draws: int = 2000) -> Drawn:
    """Return the mean error of trainings that answered the same test clips."""
    errors, tokens = (np.array([row[name] for row in rows], np.float64) for name in ("errors", "tokens"))
    places = np.random.default_rng(0).integers(0, errors.shape[1], (draws + 1, errors.shape[1]))
    places[0] = np.arange(errors.shape[1])
    means: Drawn = (errors[:, places].sum(axis=2) / tokens[:, places].sum(axis=2)).mean(axis=0)
    return means


def interval(drawn: Drawn) -> tuple[float, float]:
    """Return the 95 % interval."""
    low, high = np.quantile(drawn[1:], [0.025, 0.975], method="nearest")
    return float(low), float(high)


def amount_at(sizes: Sequence[float], curve: Sequence[float], goal: float) -> float:
    """Return where a curve first reaches an error, on straight lines between the sizes; infinite if it never does."""
    place = next((place for place, error in enumerate(curve) if error <= goal), None)
    if place is None:
        return float("inf")
    if place == 0 or curve[place - 1] == curve[place]:
        return float(sizes[place])
    share = (curve[place - 1] - goal) / (curve[place - 1] - curve[place])
    return sizes[place - 1] + share * (sizes[place] - sizes[place - 1])


def amount_needed(sizes: Sequence[float], curve: Sequence[Drawn], goal: Drawn, whole: float, unit: str) -> str:
    """Return in words how much a way needs for an error, as a share of `whole`, too; a curve has one item a size."""
    drawn = np.array([amount_at(sizes, errors, wanted) for *errors, wanted in zip(*curve, goal, strict=True)])
    if np.isinf(drawn[0]):
        return f"more than {sizes[-1]:.0f} {unit}"
    low, high = (f"{one / whole:.0%}" if np.isfinite(one) else "never" for one in interval(drawn))
    least = "at most " if drawn[0] == sizes[0] else ""
    return f"{least}{drawn[0]:.0f} {unit}, {drawn[0] / whole:.0%} ({low} … {high})"
