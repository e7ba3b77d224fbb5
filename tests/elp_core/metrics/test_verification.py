from __future__ import annotations

import numpy as np
import pytest

from elp_core.errors import CorpusError
from elp_core.metrics.verification import Match, adaptive_snorm, cohort_statistics, cosines, enrol


def _units(count: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).standard_normal((count, 8))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def test_enrolment_is_the_unit_mean_of_unit_embeddings() -> None:
    one, other = np.array([3.0, 0.0]), np.array([0.0, 0.5])
    assert enrol([one, other]) == pytest.approx([2**-0.5, 2**-0.5])
    assert enrol([one]) == pytest.approx([1.0, 0.0])


def test_cosines_do_not_depend_on_the_block() -> None:
    points, a, b = _units(9), np.array([0, 1, 2, 8, 4]), np.array([3, 3, 5, 0, 4])
    assert cosines(points, a, points, b, block=2) == pytest.approx((points[a] * points[b]).sum(1))


def test_adaptive_snorm_by_its_definition() -> None:
    enrolled, tested, cohort = _units(3, 1), _units(3, 2), _units(20, 3)
    scores = (enrolled * tested).sum(1)
    expected = []
    for e, t, score in zip(enrolled, tested, scores, strict=True):
        sides = [sorted(float(c @ x) for c in cohort)[-5:] for x in (e, t)]
        expected.append(sum((score - np.mean(side)) / np.std(side) for side in sides) / 2)
    of = [cohort_statistics(side, cohort, top=5) for side in (enrolled, tested)]
    assert adaptive_snorm(scores, *of) == pytest.approx(expected)
    assert adaptive_snorm(scores, *reversed(of)) == pytest.approx(expected)


def test_a_small_cohort_is_taken_whole() -> None:
    points, cohort = _units(2), _units(4, 1)
    whole = cohort_statistics(points, cohort, top=200)
    assert whole.mean == pytest.approx((points @ cohort.T).mean(1))


def test_a_match_is_accepted_from_its_threshold_on() -> None:
    assert Match(0.5, 0.5).accepted is True
    assert Match(0.49, 0.5).accepted is False
    assert Match(0.9, None).accepted is None


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(CorpusError, match="no recording to enrol"):
        enrol([])
    with pytest.raises(CorpusError, match="2 recordings cancel each other"):
        enrol([np.array([1.0, 0.0]), np.array([-1.0, 0.0])])
    with pytest.raises(CorpusError, match="the number of speakers in the cohort is 1, expected 2 or more"):
        cohort_statistics(_units(2), _units(1), 10)


@pytest.mark.parametrize(
    ("recordings", "words"),
    [
        (
            [np.array([1.0, np.nan])],
            r"the embeddings have the shapes \(2,\); expected vectors \[E\] of one width, finite",
        ),
        ([np.zeros(4)], "finite and not zero"),
        ([np.ones(4), np.ones(3)], r"the shapes \(3,\), \(4,\)"),
        ([np.ones((1, 4))], r"the shapes \(1, 4\)"),
    ],
)
def test_what_is_no_embedding_enrols_nobody(recordings: list[np.ndarray], words: str) -> None:
    with pytest.raises(CorpusError, match=words):
        enrol(recordings)
