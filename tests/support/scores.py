"""Scores for tests of the gate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elp_core.metrics.accuracy import evaluate_classes
from elp_core.metrics.scores import ClipScores, TrialScores
from elp_core.types import Clip


def clips(
    errors: Sequence[int] | np.ndarray, speakers: int = 0, words: int = 5, conditions: Sequence[str] = ("",)
) -> ClipScores:
    """One clip an entry; speakers (0: unknown) and conditions take turns."""
    count = len(errors)
    return ClipScores(
        tuple(f"c{i}" for i in range(count)),
        tuple(f"s{i % speakers}" if speakers else "" for i in range(count)),
        tuple(conditions[i % len(conditions)] for i in range(count)),
        np.array(errors, np.int64),
        np.full(count, words),
        ("heard",) * count,
        ("said <b>",) * count,
    )


def trials(speakers: int, each: int, noise: float, seed: int = 0, conditions: Sequence[str] = ("",)) -> TrialScores:
    """All pairs of noisy points; the same points and noise, scaled by `noise`, for the same seed."""
    rng = np.random.default_rng(seed)
    names = np.repeat(np.arange(speakers), each)
    points = rng.standard_normal((speakers, 16))[names] + noise * rng.standard_normal((len(names), 16))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    first, second = np.triu_indices(len(names), 1)
    return TrialScores(
        tuple(f"c{i}" for i in range(len(names))),
        tuple(f"s{name}" for name in names),
        tuple(conditions[i % len(conditions)] for i in range(len(names))),
        first,
        second,
        (points[first] * points[second]).sum(axis=1),
        names[first] == names[second],
    )


def classes(
    count: int, wrong: float, speakers: int = 8, seed: int = 0, conditions: Sequence[str] = ("",)
) -> ClipScores:
    """Answers of a classifier of four classes that errs on the same clips for the same seed, more with more `wrong`."""
    rng = np.random.default_rng(seed)
    labels = [f"class {number}" for number in rng.integers(0, 4, count)]
    missed, others = rng.random(count) < wrong, [f"class {number}" for number in rng.integers(0, 4, count)]
    answers = [other if bad else label for bad, other, label in zip(missed, others, labels, strict=True)]
    said = [
        Clip(f"c{i}", b"", 1.0, "test", "", f"s{i % speakers}", label, conditions[i % len(conditions)])
        for i, label in enumerate(labels)
    ]
    found = evaluate_classes(said, answers).scores
    assert isinstance(found, ClipScores)
    return found
