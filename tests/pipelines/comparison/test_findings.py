from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.comparison.difference import Difference
from pipelines.comparison.findings import findings
from pipelines.comparison.trial import Trial
from tests.support.compared import ELP, FULL, WEAK, told_apart_by

BETTER, LIKE, WORSE = 0.1, 0.38, 0.6
"""Than `WEAK`, which has 0.4, where 3 points are told apart."""


def said_of(task: str, *methods: Trial) -> tuple[str, ...]:
    return findings(task, methods, told_apart_by(3.0, methods), "")


def trial(method: str, value: float) -> Trial:
    return replace(FULL, method=method, value=value, lower=value - 0.1, upper=value + 0.1, parameters=400_000)


def test_the_smallest_method_that_cannot_be_told_from_the_best_is_named() -> None:
    said = said_of("asr", FULL, ELP, WEAK)
    assert said[0].startswith("Lowest WER: full, 10.00 %")
    assert "elp, 11.00 % with 0.50 M trainable parameters, 10 % of full's" in said[1]


def test_a_small_method_that_is_surely_worse_is_not_named_even_where_the_values_intervals_meet() -> None:
    close = replace(WEAK, value=0.14, lower=0.11, upper=0.17)
    assert "weighted-sum" not in said_of("asr", FULL, ELP, close)[1]


@pytest.mark.parametrize(
    ("value", "parameters", "words"),
    [
        (0.11, 500_000, "+1.0 points (-2.0 … +4.0) at 10 % of its trainable parameters: at or near full fine-tuning"),
        (0.11, 1_700_000, "; the paper's about a tenth of the parameters does not hold"),
        (0.3, 500_000, "at or near full fine-tuning, as the paper has it, does not hold here"),
        (0.02, 500_000, "better than full fine-tuning"),
    ],
)
@pytest.mark.parametrize("name", ["elp", "slot"])
def test_elp_is_held_against_full_fine_tuning(name: str, value: float, parameters: int, words: str) -> None:
    elp = replace(trial(name, value), parameters=parameters)
    (said,) = [s for s in said_of("asr", FULL, elp) if s.startswith(f"{name} against full")]
    assert words in said


@pytest.mark.parametrize(
    ("method", "task", "value", "words"),
    [
        ("e", "asr", BETTER, ": E-adapters help ASR, as in the paper"),
        ("e", "asr", LIKE, ": this set does not show that E-adapters help ASR, as the paper does"),
        ("e", "asr", WORSE, ": that E-adapters help ASR, as the paper has it, does not hold here"),
        ("l", "asv", BETTER, ": L-adapters help ASV, as in the paper"),
        ("l", "asv", LIKE, ": this set does not show that L-adapters help ASV"),
        ("l", "ser", WORSE, ": that L-adapters help SER, as the paper has it, does not hold here"),
        ("e", "asv", WORSE, ": E-adapters by themselves do worse here"),  # the paper claims nothing of these
        ("l", "asr", BETTER, ": L-adapters help here"),
        ("l", "sic", LIKE, ": this set does not tell them apart"),
    ],
)
def test_a_part_is_held_against_the_frozen_backbone(method: str, task: str, value: float, words: str) -> None:
    said = said_of(task, trial(method, value), WEAK)[-1]
    assert said.startswith(
        f"{method} against the frozen backbone's weighted sum of layers: {100 * (value - 0.4):+.1f} "
    )
    assert words in said


@pytest.mark.parametrize("methods", [(FULL,), (ELP,), (trial("e", BETTER), trial("l", LIKE)), (WEAK,)])
def test_nothing_is_said_of_what_was_not_compared(methods: tuple[Trial, ...]) -> None:
    assert not [sentence for sentence in said_of("asr", *methods) if "against" in sentence]


def test_where_one_speaker_tells_nothing_apart_it_is_said() -> None:
    said = findings("asr", (ELP, FULL), (Difference("elp", "full", 0.01, None, None),), "")
    assert said[-1].endswith("one speaker does not tell the two apart.")
