"""One number for each clip of an evaluation, so that two trainings can be compared clip by clip."""

import hashlib
from collections.abc import Sequence

import numpy as np

from elp_core.metrics.eer import eer
from elp_core.metrics.scores import ClipScores, FloatArray
from pipelines.registry.evidence_scores import Scores

BLOCKS = 40
"""Most groups of clips that are compared: the study's journal has a line for each."""


def errors_by_clip(scores: Scores) -> FloatArray:
    """Return float64 [clips]: the share of a clip's tokens that are wrong.

    Of trials, it is the mean of both error rates of the trials with this clip, at the threshold of equal error rates.
    """
    if isinstance(scores, ClipScores):
        shares: FloatArray = scores.errors / np.maximum(scores.tokens, 1)
        return shares
    accepted = scores.scores >= eer(scores.scores, scores.targets).threshold
    rates = []
    for kind in (True, False):
        chosen = scores.targets == kind
        wrong, every = np.zeros(len(scores.ids)), np.zeros(len(scores.ids))
        for side in (scores.a, scores.b):
            np.add.at(every, side[chosen], 1.0)
            np.add.at(wrong, side[chosen], (accepted != scores.targets)[chosen])
        rates.append(wrong / np.maximum(every, 1.0))
    mean: FloatArray = (rates[0] + rates[1]) / 2
    return mean


def block_errors(ids: Sequence[str], errors: FloatArray) -> dict[int, float]:
    """Return the mean error of each group of clips, by the number of the group; the same clips give the same groups."""
    count = min(BLOCKS, len(ids))
    ordered = sorted(range(len(ids)), key=lambda place: hashlib.sha256(ids[place].encode()).digest())
    return {number: float(errors[ordered[number::count]].mean()) for number in range(count)}
