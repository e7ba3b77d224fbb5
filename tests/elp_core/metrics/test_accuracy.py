from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from elp_core.errors import CorpusError
from elp_core.metrics.accuracy import confusion, evaluate_classes, macro_f1, unweighted_accuracy
from elp_core.metrics.bootstrap import blocks_of, resample_errors
from elp_core.types import Clip

LABELS = ["a", "a", "a", "b", "b", "c"]
ANSWERS = ["a", "a", "b", "b", "b", "a"]


def test_accuracies_and_f1_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(list("abcd"), 200, p=[0.6, 0.2, 0.15, 0.05]).tolist()
    answers = np.where(rng.random(200) < 0.6, labels, rng.choice(list("abcd"), 200)).tolist()
    _, counts = confusion(answers, labels)
    assert unweighted_accuracy(counts) == pytest.approx(balanced_accuracy_score(labels, answers))
    assert macro_f1(counts) == pytest.approx(f1_score(labels, answers, average="macro"))


def test_a_class_that_is_only_answered_counts_in_f1_and_not_in_recall() -> None:
    _, counts = confusion(["a", "z"], ["a", "a"])
    assert unweighted_accuracy(counts) == 0.5
    assert macro_f1(counts) == pytest.approx(f1_score(["a", "a"], ["a", "z"], average="macro", zero_division=0))


def test_an_evaluation_counts_one_error_of_one_for_each_wrong_clip() -> None:
    ids = [f"c{i}" for i in range(6)]
    clips = [Clip(name, b"", 1.0, "test", label=label) for name, label in zip(ids, LABELS, strict=True)]
    found = evaluate_classes(clips, ANSWERS)
    assert (found.metric, found.value) == ("error_rate", pytest.approx(2 / 6))
    assert found.scores.errors.tolist() == [0, 0, 1, 0, 0, 1]
    assert found.scores.tokens.tolist() == [1] * 6
    assert found.extra["accuracy"] == pytest.approx(4 / 6)
    assert found.extra["unweighted_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found.extra["classes"] == 3


def test_the_paired_bootstrap_takes_it_as_it_takes_words() -> None:
    clips = [Clip(name, b"", 1.0, "test", speaker=name[0], label=name[1]) for name in ("sa", "tb", "sa")]
    found = evaluate_classes(clips, ["a", "b", "b"])
    draws = resample_errors([found.scores], blocks_of(found.scores.speakers, "speakers"), 200, 0)[0]
    assert set(np.round(draws, 6)) == {0.0, 0.333333, 0.5}


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(CorpusError, match="1 answers for 2 labels"):
        confusion(["a"], ["a", "b"])
    with pytest.raises(CorpusError, match="no clips to classify"):
        evaluate_classes([], [])
