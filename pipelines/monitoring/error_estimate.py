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
_OUTSIDE = 0.25
"""Share of them that may be outside of the reference."""


@dataclass(frozen=True)
class ErrorEstimate:
    """An estimated error, or why it is not known."""

    value: float | None
    low: float | None = None
    high: float | None = None
    """With `low`, an interval that contains the mean error of the sessions of nine of ten sites like the reference."""
    reason: str = ""
    """Why it is not known."""


def estimate_error(
    blocks: Sequence[BlockScores], errors: Sequence[float] | None, recent: Mapping[str, Sequence[float]]
) -> ErrorEstimate:
    """Return the estimated mean error of a site's last sessions, from the reference's blocks and their measured errors.

    `recent` are the last values of each score. The relation is a falling (isotonic) function of confidence, whose mean
    over the sessions is the estimate: its value at a middle session is too low, because few sessions have most errors.
    The interval is of the jackknife+ (Barber et al. 2021, arXiv 1905.02928). Outside of the reference's range of any
    score nothing is known: the relation was not measured there.
    """
    if errors is None or CONFIDENCE not in recent:
        return ErrorEstimate(None, reason="the task has no confidence")
    if len(blocks) < LEAST_BLOCKS:
        return ErrorEstimate(None, reason=f"the reference has {len(blocks)} blocks, {LEAST_BLOCKS} are needed")
    if not recent[CONFIDENCE]:
        return ErrorEstimate(None, reason="the site has sent no session yet")
    for name, values in sorted(recent.items()):
        if reason := _outside(name, [block.scores[name] for block in blocks], values[-_RECENT:]):
            return ErrorEstimate(None, reason=reason)
    known = np.array([block.scores[CONFIDENCE] for block in blocks])
    measured = np.asarray(errors, dtype=np.float64)
    now = np.asarray(recent[CONFIDENCE][-_RECENT:], dtype=np.float64)
    every = np.arange(len(known))
    low, high = [], []
    for left in every:
        others = every != left
        *here, there = _fitted(known[others], measured[others], [*now, known[left]])
        off = abs(float(measured[left]) - there)
        low.append(float(np.mean(here)) - off)
        high.append(float(np.mean(here)) + off)
    value = float(np.mean(_fitted(known, measured, now)))
    tail = (1 - _COVERAGE) / 2
    bounds = np.quantile(low, tail, method="lower"), np.quantile(high, 1 - tail, method="higher")
    inside = np.clip(bounds, 0.0, 1.0)
    return ErrorEstimate(value, min(float(inside[0]), value), max(float(inside[1]), value))


def _outside(name: str, usual: Sequence[float], values: Sequence[float]) -> str:
    """Return why a score of the last sessions is outside of the reference's range; empty if it is inside.

    By chance, a new session is outside of n blocks with a probability of 2/(n + 1).
    """
    low, high, now = min(usual), max(usual), float(np.median(values))
    outside = sum(not low <= value <= high for value in values)
    if not low <= now <= high:
        return f"{name} is outside of the reference: {now:.3g}"
    if outside > max(1, _OUTSIDE * len(values)):
        return f"{name} of {outside} of the last {len(values)} sessions is outside of the reference"
    return ""


def _fitted(confidence: np.ndarray, errors: np.ndarray, at: Sequence[float] | np.ndarray) -> list[float]:
    from sklearn.isotonic import IsotonicRegression

    fit = IsotonicRegression(y_min=0.0, y_max=1.0, increasing=False, out_of_bounds="clip").fit(confidence, errors)
    return [float(value) for value in fit.predict(np.asarray(at))]
