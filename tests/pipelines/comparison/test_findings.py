from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from elp_core.errors import CorpusError
from elp_core.metrics.scores import ClipScores
from pipelines.comparison.findings import Difference, differences, findings, pairs_of
from pipelines.comparison.method_trial import MethodTrial
from pipelines.registry.policies import GatePolicy
from tests.support.compared import ELP, FULL, WEAK, differences_of

BETTER, LIKE, WORSE = 0.1, 0.38, 0.6
"""Values compared with `WEAK`, which has 0.4, if 3 points are a difference."""


def findings_of(task: str, *methods: MethodTrial, margin: float = 0.04) -> tuple[str, ...]:
    return findings(task, methods, differences_of(3.0, methods), "", margin)


def trial(method: str, value: float) -> MethodTrial:
    return replace(FULL, method=method, value=value, lower=value - 0.1, upper=value + 0.1, parameters=400_000)


def test_the_smallest_method_that_is_near_the_best_one_is_named() -> None:
    said = findings_of("asr", FULL, ELP, WEAK)
    assert said[0].startswith("Lowest WER: full, 10.00 %")
    size = "elp, 11.00 % with 0.50 M trainable parameters, 10 % of full's; it may be up to 4.0 points worse"
    assert "The smallest method that is near full (by less than 4 points): " + size in said[1]


def test_a_small_method_is_not_named_because_its_interval_is_wide() -> None:
    nearer = replace(WEAK, method="l", value=0.12, parameters=ELP.parameters + 1)
    said = findings_of("asr", FULL, ELP, nearer, margin=0.02)[1]
    assert said == (
        "No method with fewer parameters is shown to be near full (by less than 2 points); not decided: "
        "elp +1.0 points (-2.0 … +4.0), l +2.0 points (-1.0 … +5.0)."
    )


def test_small_methods_that_are_surely_worse_are_not_named_even_where_the_values_intervals_meet() -> None:
    close = replace(WEAK, value=0.14, lower=0.11, upper=0.17)
    assert "weighted-sum" not in findings_of("asr", FULL, ELP, close)[1]
    assert findings_of("asr", FULL, close)[1].endswith("(by less than 4 points); all are worse.")


@pytest.mark.parametrize(
    ("value", "parameters", "words"),
    [
        (0.11, 500_000, "+1.0 points (-2.0 … +4.0) at 10 % of its trainable parameters: at or near full fine-tuning"),
        (0.11, 1_700_000, "; the paper's about a tenth of the parameters is not confirmed"),
        (0.3, 500_000, "worse than full fine-tuning; the paper's result (at or near) is not confirmed here"),
        (0.02, 500_000, "better than full fine-tuning"),
    ],
)
@pytest.mark.parametrize("name", ["elp", "slot"])
def test_elp_is_compared_with_full_fine_tuning(name: str, value: float, parameters: int, words: str) -> None:
    elp = replace(trial(name, value), parameters=parameters)
    (said,) = [s for s in findings_of("asr", FULL, elp) if s.startswith(f"{name} against full")]
    assert words in said


def test_an_interval_wider_than_the_margin_decides_nothing() -> None:
    (said,) = [s for s in findings_of("asr", FULL, ELP, margin=0.02) if s.startswith("elp against full")]
    assert (
        "it is not decided whether this is near full fine-tuning, as in the paper: it may be up to 4.0 points" in said
    )


@pytest.mark.parametrize(
    ("method", "task", "value", "words"),
    [
        ("e", "asr", BETTER, ": E-adapters help ASR, as in the paper"),
        ("e", "asr", LIKE, ": this set does not show that E-adapters help ASR, which the paper shows"),
        ("e", "asr", WORSE, ": the paper's result that E-adapters help ASR is not confirmed here"),
        ("l", "asv", BETTER, ": L-adapters help ASV, as in the paper"),
        ("l", "asv", LIKE, ": this set does not show that L-adapters help ASV"),
        ("l", "ser", WORSE, ": the paper's result that L-adapters help SER is not confirmed here"),
        ("e", "asv", WORSE, ": E-adapters alone do worse here"),  # the paper claims nothing of these
        ("l", "asr", BETTER, ": L-adapters help here"),
        ("l", "sic", LIKE, ": this set does not distinguish them"),
    ],
)
def test_a_part_is_compared_with_the_frozen_backbone(method: str, task: str, value: float, words: str) -> None:
    said = findings_of(task, trial(method, value), WEAK)[-1]
    assert said.startswith(
        f"{method} against the frozen backbone's weighted sum of layers: {100 * (value - 0.4):+.1f} "
    )
    assert words in said


@pytest.mark.parametrize("methods", [(FULL,), (ELP,), (trial("e", BETTER), trial("l", LIKE)), (WEAK,)])
def test_there_is_no_sentence_on_methods_that_were_not_compared(methods: tuple[MethodTrial, ...]) -> None:
    assert not [sentence for sentence in findings_of("asr", *methods) if "against" in sentence]


def test_one_speaker_is_not_enough_to_distinguish_methods() -> None:
    said = findings("asr", (ELP, FULL), (Difference("elp", "full", 0.01, None, None),), "", 0.02)
    assert said[-1].endswith("one speaker is not enough to distinguish them.")


POLICY = GatePolicy(resamples=500)


def scores_of(errors: np.ndarray, speakers: int = 20) -> ClipScores:
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


def test_paired_clips_show_a_small_difference_that_the_values_alone_do_not() -> None:
    rng = np.random.default_rng(0)
    hard = rng.binomial(4, rng.beta(0.5, 1.5, 400))
    worse = hard + (rng.random(400) < 0.15)
    (found,) = differences({"a": scores_of(worse), "b": scores_of(hard)}, [("a", "b")], POLICY, closed_set=False)
    assert found.relation == "higher"
    assert found.value == pytest.approx((worse.sum() - hard.sum()) / 2000)
    (swapped,) = differences({"a": scores_of(worse), "b": scores_of(hard)}, [("b", "a")], POLICY, closed_set=False)
    assert (swapped.relation, swapped.value) == ("lower", -found.value)


def test_equal_methods_are_alike_and_one_speaker_gives_no_interval() -> None:
    errors = np.random.default_rng(1).integers(0, 3, 60)
    for speakers, relation in ((20, "alike"), (1, "unknown")):
        system = scores_of(errors, speakers)
        (found,) = differences({"a": system, "b": system}, [("a", "b")], POLICY, closed_set=False)
        assert (found.value, found.relation) == (0.0, relation)


def test_methods_scored_on_other_clips_are_refused() -> None:
    one, other = scores_of(np.zeros(40)), replace(scores_of(np.zeros(40)), ids=tuple(f"d{n}" for n in range(40)))
    with pytest.raises(CorpusError, match="not scored on the same clips"):
        differences({"a": one, "b": other}, [("a", "b")], POLICY, closed_set=False)


def test_each_method_is_compared_with_the_best_and_the_pairs_of_the_paper_with_each_other() -> None:
    e = replace(ELP, method="e", value=0.2)
    assert pairs_of((FULL, ELP, e, WEAK)) == [
        ("elp", "full"), ("e", "full"), ("weighted-sum", "full"), ("e", "weighted-sum"),
    ]  # fmt: skip
    better = replace(ELP, value=0.05)
    assert pairs_of((FULL, better)) == [("full", "elp"), ("elp", "full")]
    assert pairs_of((FULL,)) == []
