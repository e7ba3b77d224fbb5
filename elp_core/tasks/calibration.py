"""Probabilities of classes that are as often right as they say, and the answer "none of these".

One temperature divides the logits; it is fitted on the validation clips (Guo et al., arXiv 1706.04599), with targets
smoothed as in Platt scaling, so that a split without an error does not make every answer certain. The floor is the
conformal quantile of the probabilities that right answers had: of recordings like the validation clips that would be
answered rightly, at most `REFUSED` are answered with "none of these". It is no model of other recordings: it refuses
those of which the network is not sure.
"""

from __future__ import annotations

import math

import numpy as np

from elp_core.class_answer import ClassCalibration
from elp_core.metrics.scores import FloatArray, IntArray

LEAST_CLIPS = 20
"""With fewer validation clips nothing is fitted."""
REFUSED = 0.05
"""Largest share of right answers that the floor refuses."""
_RANGE = (0.05, 20.0)
"""Of temperatures."""
_TINY = 1e-30
"""Instead of a probability that is 0 in float32."""


def fit_calibration(probabilities: FloatArray, labels: IntArray) -> ClassCalibration | None:
    """Return temperature and floor for softmax probabilities [N, K] and the right classes [N]; -1 is another class.

    None if fewer than `LEAST_CLIPS` clips are of a known class.
    """
    known = labels >= 0
    logs, right = np.log(np.maximum(probabilities[known], _TINY)), labels[known]
    if len(right) < LEAST_CLIPS:
        return None
    clips, classes = logs.shape
    # Platt's targets: as if one further clip had been of each class
    targets = np.full(logs.shape, 1.0 / (clips + classes))
    targets[np.arange(clips), right] = (clips + 1.0) / (clips + classes)

    # the loss is convex in the inverse temperature, so its slope changes sign once
    low, high = 1.0 / _RANGE[1], 1.0 / _RANGE[0]
    for _ in range(60):
        middle = (low + high) / 2
        slope = float(((_softmax(logs * middle) - targets) * logs).sum())
        low, high = (low, middle) if slope > 0 else (middle, high)
    temperature = round(1.0 / high, 4)
    sure = tempered(probabilities[known], temperature)
    return ClassCalibration(temperature, _floor(np.sort(sure.max(1)[sure.argmax(1) == right])), clips)


def tempered(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Return the softmax [..., K] of logits divided by a temperature, from their softmax [..., K]."""
    return _softmax(np.log(np.maximum(np.asarray(probabilities, np.float64), _TINY)) / temperature)


def calibration_error(probabilities: FloatArray, labels: IntArray, bins: int = 10) -> float:
    """Return the expected calibration error of probabilities [N, K]: |accuracy - confidence| over equally full bins."""
    sure, right = probabilities.max(1), (probabilities.argmax(1) == labels).astype(np.float64)
    parts = np.array_split(np.argsort(sure, kind="stable"), min(bins, len(sure)))
    return float(sum(abs(right[part].sum() - sure[part].sum()) for part in parts) / max(len(sure), 1))


def _floor(right: FloatArray) -> float | None:
    """Return the probability below which at most `REFUSED` of right answers are expected; None if too few are given."""
    place = math.floor(REFUSED * (len(right) + 1))
    # rounded down, so that the clip at the quantile itself is not refused
    return math.floor(right[place - 1] * 1e4) / 1e4 if place else None


def _softmax(logits: FloatArray) -> FloatArray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    found: FloatArray = powers / powers.sum(-1, keepdims=True)
    return found
