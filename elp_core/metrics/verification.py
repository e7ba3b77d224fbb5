"""Scores of speaker verification from unit embeddings: enrolment, cosine, adaptive S-norm.

N embeddings, E dimensions, C speakers of a cohort.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from elp_core.errors import CorpusError
from elp_core.metrics.scores import FloatArray, IntArray

Vector = npt.NDArray[np.floating]
_LEAST_DEVIATION = 1e-6


@dataclass(frozen=True)
class Match:
    """The comparison of a recording with an enrolled speaker."""

    score: float
    """Cosine, or normalised by the cohort: higher means more similar."""
    threshold: float | None
    """This score and higher ones are accepted; None if no threshold was chosen yet."""

    @property
    def accepted(self) -> bool | None:
        """Return whether the speaker is accepted; None without a threshold."""
        return None if self.threshold is None else self.score >= self.threshold


@dataclass(frozen=True, eq=False)
class CohortStatistics:
    """Similarity of embeddings to the nearest speakers of a cohort."""

    mean: FloatArray
    """float64 [N]."""
    deviation: FloatArray
    """float64 [N], above 0."""

    def at(self, places: IntArray) -> CohortStatistics:
        """Return the statistics of the embeddings at `places`, int64 [T], one for each trial."""
        return CohortStatistics(self.mean[places], self.deviation[places])


def enrol(recordings: Sequence[Vector]) -> FloatArray:
    """Return a speaker's embedding: the mean of the recordings' unit embeddings [E], scaled to unit length.

    Raises:
        CorpusError: There is no recording, the embeddings cancel each other, or a vector is not an embedding of the
            same width: it has another length, values that are not finite, or only zeros.
    """
    if not len(recordings):
        raise CorpusError("there is no recording to enrol a speaker from; expected one or more")
    vectors = [np.asarray(vector, np.float64) for vector in recordings]
    shapes = {vector.shape for vector in vectors}
    if len(shapes) > 1 or vectors[0].ndim != 1 or not all(0 < np.linalg.norm(v) < np.inf for v in vectors):
        raise CorpusError(
            f"the embeddings have the shapes {', '.join(map(str, sorted(shapes)))}; expected vectors [E] of one "
            "width, finite and not zero, as `predict` returns them"
        )
    units = np.stack(vectors)
    mean = (units / np.linalg.norm(units, axis=1, keepdims=True)).mean(0)
    length = float(np.linalg.norm(mean))
    if not length > 1e-9:
        raise CorpusError(f"the embeddings of {len(recordings)} recordings cancel each other; are they of one speaker?")
    enrolled: FloatArray = mean / length
    return enrolled


def cosines(first: Vector, a: IntArray, second: Vector, b: IntArray, block: int = 100_000) -> FloatArray:
    """Return the cosine of each trial, float64 [trials]: unit embeddings `first[a]` and `second[b]`, in blocks."""
    scores = np.empty(len(a))
    for start in range(0, len(a), block):
        part = slice(start, start + block)
        scores[part] = np.einsum("td,td->t", first[a[part]], second[b[part]])
    return scores


def cohort_statistics(embeddings: Vector, cohort: Vector, top: int) -> CohortStatistics:
    """Return mean and deviation of the cosines of each embedding [N, E] with its `top` nearest of the cohort [C, E].

    Raises:
        CorpusError: The cohort has fewer than two speakers, so there is no deviation.
    """
    if len(cohort) < 2:
        raise CorpusError(
            f"the number of speakers in the cohort is {len(cohort)}, expected 2 or more: one has no deviation"
        )
    cosines = np.asarray(embeddings, np.float64) @ np.asarray(cohort, np.float64).T
    nearest = np.sort(cosines, axis=1)[:, -min(top, len(cohort)) :]
    return CohortStatistics(nearest.mean(1), np.maximum(nearest.std(1), _LEAST_DEVIATION))


def adaptive_snorm(scores: FloatArray, enrolled: CohortStatistics, tested: CohortStatistics) -> FloatArray:
    """Normalise scores symmetrically (Matejka et al. 2017, "Analysis of score normalization in multilingual ...").

    ``½ · ((s − μ_e) / σ_e + (s − μ_t) / σ_t)``, with the statistics of each side over its own nearest cohort (their
    S-norm1). Scores and statistics have one value for each trial, [T].
    """
    sides = [(scores - side.mean) / side.deviation for side in (enrolled, tested)]
    normalised: FloatArray = 0.5 * (sides[0] + sides[1])
    return normalised
