from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from elp_core.errors import CorpusError
from elp_core.metrics.scores import ClipScores
from pipelines.comparison.difference import differences, pairs_of
from pipelines.registry.policies import GatePolicy
from tests.support.compared import ELP, FULL, WEAK

POLICY = GatePolicy(resamples=500)


def scores(errors: np.ndarray, speakers: int = 20) -> ClipScores:
    names = [f"c{n:03}" for n in range(len(errors))]
    texts = tuple("a" for _ in names)
    return ClipScores(
        ids=tuple(names),
        speakers=tuple(f"s{n % speakers}" for n in range(len(names))),
        conditions=tuple("" for _ in names),
        errors=errors.astype(np.int64),
        tokens=np.full(len(names), 5, np.int64),
        hypotheses=texts,
        references=texts,
    )


def test_a_small_difference_on_the_same_clips_is_told_apart_where_the_values_are_not() -> None:
    rng = np.random.default_rng(0)
    hard = rng.binomial(4, rng.beta(0.5, 1.5, 400))
    worse = hard + (rng.random(400) < 0.15)
    (found,) = differences({"a": scores(worse), "b": scores(hard)}, [("a", "b")], POLICY, closed_set=False)
    assert found.told == "higher"
    assert found.value == pytest.approx((worse.sum() - hard.sum()) / 2000)
    (swapped,) = differences({"a": scores(worse), "b": scores(hard)}, [("b", "a")], POLICY, closed_set=False)
    assert (swapped.told, swapped.value) == ("lower", -found.value)


def test_equal_methods_are_alike_and_one_speaker_tells_nothing() -> None:
    errors = np.random.default_rng(1).integers(0, 3, 60)
    for speakers, told in ((20, "alike"), (1, "unknown")):
        system = scores(errors, speakers)
        (found,) = differences({"a": system, "b": system}, [("a", "b")], POLICY, closed_set=False)
        assert (found.value, found.told) == (0.0, told)


def test_methods_that_heard_other_clips_are_refused() -> None:
    one, other = scores(np.zeros(40)), replace(scores(np.zeros(40)), ids=tuple(f"d{n}" for n in range(40)))
    with pytest.raises(CorpusError, match="not scored on the same clips"):
        differences({"a": one, "b": other}, [("a", "b")], POLICY, closed_set=False)


def test_each_method_meets_the_best_and_those_of_the_paper_meet_each_other() -> None:
    e = replace(ELP, method="e", value=0.2)
    assert pairs_of((FULL, ELP, e, WEAK)) == [
        ("elp", "full"), ("e", "full"), ("weighted-sum", "full"), ("e", "weighted-sum"),
    ]  # fmt: skip
    better = replace(ELP, value=0.05)
    assert pairs_of((FULL, better)) == [("full", "elp"), ("elp", "full")]
    assert pairs_of((FULL,)) == []
