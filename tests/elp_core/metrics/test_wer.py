from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elp_core.errors import CorpusError
from elp_core.languages import language
from elp_core.metrics.wer import cer, error_rate, evaluate_transcripts, wer, word_errors
from elp_core.types import Clip

WORDS = st.lists(st.sampled_from("abc"), max_size=6)


def edits(hypothesis: list[str], reference: list[str]) -> int:
    """Levenshtein distance by its recurrence."""
    row = list(range(len(reference) + 1))
    for i, said in enumerate(hypothesis, 1):
        above, row = row, [i] + [0] * len(reference)
        for j, meant in enumerate(reference, 1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (said != meant))
    return row[-1]


@given(WORDS, WORDS)
def test_edits_are_levenshteins(hypothesis: list[str], reference: list[str]) -> None:
    errors, words = word_errors([" ".join(hypothesis)], [" ".join(reference)])
    assert (errors[0], words[0]) == (edits(hypothesis, reference), len(reference))


@pytest.mark.parametrize(
    ("hypotheses", "references", "expected"),
    [
        (["open the door"], ["open the door"], 0.0),
        (["open door", ""], ["open the door", "stop"], 0.5),
        (["a b c"], ["d"], 3.0),
        (["  open   the door "], ["open the door"], 0.0),
    ],
)
def test_the_rate_is_over_the_whole_set(hypotheses: list[str], references: list[str], expected: float) -> None:
    assert wer(hypotheses, references) == expected


def test_characters_count_spaces() -> None:
    assert cer(["ab c"], ["abc"]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("errors", "expected"), [([0], 0.0), ([2], 1.0), ([], 0.0)])
def test_a_set_without_reference_words_has_a_rate(errors: list[int], expected: float) -> None:
    assert error_rate(np.array(errors, np.int64), np.zeros(len(errors), np.int64)) == expected


def test_an_evaluation_names_its_clips() -> None:
    clips = [Clip("x", b"", 1.0, "test", "one", "s"), Clip("y", b"", 1.0, "test", "two", "t", condition="noisy")]
    found = evaluate_transcripts(clips, ["one", ""])
    assert (found.metric, found.value, found.extra["empty"], found.extra["clips"]) == ("wer", 0.5, 1.0, 2.0)
    assert (found.scores.ids, found.scores.speakers) == (("x", "y"), ("s", "t"))


def test_a_chosen_metric_decides_and_the_other_one_is_reported() -> None:
    russian, clips = language("ru"), [Clip("x", b"", 1.0, "test", "нажмите два", "s")]
    usual = evaluate_transcripts(clips, ["нажмите двa"], russian)
    chosen = evaluate_transcripts(clips, ["нажмите двa"], russian, "cer")
    assert (usual.metric, usual.value, usual.extra["cer"]) == ("wer", 0.5, 1 / 11)
    # the blank counts, as in the CER that is reported next to the WER
    assert (chosen.metric, chosen.value, chosen.extra["wer"]) == ("cer", 1 / 11, 0.5)
    assert (chosen.scores.counted, chosen.extra["characters"]) == ("character", 11.0)
    korean = evaluate_transcripts([Clip("x", b"", 1.0, "test", "문 열어", "s")], ["문열어"], language("ko"), "wer")
    assert (korean.metric, korean.value, korean.extra["cer"]) == ("wer", 1.0, 0.0)


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(CorpusError, match="1 hypotheses for 2 references"):
        wer(["a"], ["a", "b"])
