"""The champion's error at its site without references: from its confidence, as the golden set relates the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.monitoring.block_scores import BlockScores

CONFIDENCE = "confidence"
LEAST_BLOCKS = 20
"""Blocks of the reference below which an interval of 90 % says nothing."""
_COVERAGE = 0.9
_RECENT = 20
"""Blocks of the site that are estimated together."""


@dataclass(frozen=True)
class ErrorEstimate:
    """An estimated error, or why it is not known."""

    value: float | None
    low: float | None = None
    high: float | None = None
    """With `low`, an interval that holds for nine of ten blocks of a site that is like the reference."""
    reason: str = ""
    """Why it is not known."""


def estimate_error(
    blocks: Sequence[BlockScores], errors: Sequence[float] | None, recent: Mapping[str, Sequence[float]]
) -> ErrorEstimate:
    """Return the estimated error of a site's last blocks, from the reference's blocks and their measured errors.

    `recent` are the last values of each score. The relation is a falling (isotonic) function of confidence; the
    interval is of the jackknife+ (Barber et al. 2021, arXiv 1905.02928). Outside of the reference's range of any score
    nothing is known: the relation was not measured there.
    """
    if errors is None or CONFIDENCE not in recent:
        return ErrorEstimate(None, reason="the task has no confidence")
    if len(blocks) < LEAST_BLOCKS:
        return ErrorEstimate(None, reason=f"the reference has {len(blocks)} blocks, {LEAST_BLOCKS} are needed")
    if not recent[CONFIDENCE]:
        return ErrorEstimate(None, reason="the site has sent no session yet")
    for name, values in sorted(recent.items()):
        usual = [block.scores[name] for block in blocks]
        now = float(np.median(values[-_RECENT:]))
        if not min(usual) <= now <= max(usual):
            return ErrorEstimate(None, reason=f"{name} is outside of the reference: {now:.3g}")
    known = np.array([block.scores[CONFIDENCE] for block in blocks])
    measured = np.asarray(errors, dtype=np.float64)
    now = float(np.median(recent[CONFIDENCE][-_RECENT:]))
    every = np.arange(len(known))
    low, high = [], []
    for left in every:
        others = every != left
        here, there = _fitted(known[others], measured[others], [now, float(known[left])])
        off = abs(float(measured[left]) - there)
        low.append(here - off)
        high.append(here + off)
    (value,) = _fitted(known, measured, [now])
    tail = (1 - _COVERAGE) / 2
    bounds = np.quantile(low, tail, method="lower"), np.quantile(high, 1 - tail, method="higher")
    inside = np.clip(bounds, 0.0, 1.0)
    return ErrorEstimate(value, float(inside[0]), float(inside[1]))


def _fitted(confidence: np.ndarray, errors: np.ndarray, at: Sequence[float]) -> list[float]:
    from sklearn.isotonic import IsotonicRegression

    fit = IsotonicRegression(y_min=0.0, y_max=1.0, increasing=False, out_of_bounds="clip").fit(confidence, errors)
    return [float(value) for value in fit.predict(np.asarray(at))]
