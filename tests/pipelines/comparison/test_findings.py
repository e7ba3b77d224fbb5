from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.comparison.findings import findings
from pipelines.comparison.trial import Trial
from tests.support.compared import ELP, FULL, WEAK

BETTER, LIKE, WORSE = (0.1, 0.08, 0.12), (0.38, 0.33, 0.43), (0.6, 0.55, 0.65)  # than WEAK: 0.35 to 0.45


def trial(method: str, at: tuple[float, float, float]) -> Trial:
    value, lower, upper = at
    return replace(FULL, method=method, value=value, lower=lower, upper=upper, parameters=400_000)


def test_the_smallest_method_that_cannot_be_told_from_the_best_is_named() -> None:
    said = findings("asr", (FULL, ELP, WEAK), "")
    assert said[0].startswith("Lowest WER: full, 10.00 %")
    assert "elp, 11.00 % with 0.50 M trainable parameters, 10 % of full's" in said[1]


@pytest.mark.parametrize(
    ("at", "parameters", "words"),
    [
        ((0.11, 0.08, 0.14), 500_000, "+1.0 points (8.0 … 14.0 % against 7.0 … 13.0 %) at 10 % of its trainable"),
        ((0.11, 0.08, 0.14), 500_000, "the intervals overlap: at or near full fine-tuning, as in the paper"),
        ((0.11, 0.08, 0.14), 1_700_000, "; the paper's about a tenth of the parameters does not hold"),
        ((0.3, 0.25, 0.35), 500_000, "lie apart: at or near full fine-tuning, as the paper has it, does not hold here"),
        ((0.02, 0.01, 0.03), 500_000, "lie apart: better than full fine-tuning"),
    ],
)
def test_elp_is_held_against_full_fine_tuning(at: tuple[float, float, float], parameters: int, words: str) -> None:
    elp = replace(trial("elp", at), parameters=parameters)
    (said,) = [s for s in findings("asr", (FULL, elp), "") if s.startswith("elp against full")]
    assert words in said


@pytest.mark.parametrize(
    ("method", "task", "at", "words"),
    [
        ("e", "asr", BETTER, "apart: E-adapters help ASR, as in the paper"),
        ("e", "asr", LIKE, "overlap: this set does not show that E-adapters help ASR, as the paper does"),
        ("e", "asr", WORSE, "apart: that E-adapters help ASR, as the paper has it, does not hold here"),
        ("l", "asv", BETTER, "apart: L-adapters help ASV, as in the paper"),
        ("l", "asv", LIKE, "overlap: this set does not show that L-adapters help ASV"),
        ("l", "ser", WORSE, "apart: that L-adapters help SER, as the paper has it, does not hold here"),
        ("e", "asv", WORSE, "apart: E-adapters by themselves do worse here"),  # the paper claims nothing of these
        ("l", "asr", BETTER, "apart: L-adapters help here"),
        ("l", "sic", LIKE, "overlap: this set does not tell them apart"),
    ],
)
def test_a_part_is_held_against_the_frozen_backbone(
    method: str, task: str, at: tuple[float, float, float], words: str
) -> None:
    said = findings(task, (trial(method, at), WEAK), "")[-1]
    assert said.startswith(
        f"{method} against the frozen backbone's weighted sum of layers: {100 * (at[0] - 0.4):+.1f} "
    )
    assert words in said


@pytest.mark.parametrize("methods", [(), (FULL,), (ELP,), (trial("e", BETTER), trial("l", LIKE)), (WEAK,)])
def test_nothing_is_said_of_what_was_not_compared(methods: tuple[Trial, ...]) -> None:
    assert not [sentence for sentence in findings("asr", methods, "") if "against" in sentence]
