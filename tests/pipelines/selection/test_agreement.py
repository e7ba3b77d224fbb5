from __future__ import annotations

import numpy as np
import pytest

from elp_core.inference.assess_clips import DraftAnswer
from pipelines.selection.agreement import (
    AgreedLabel,
    AgreementLimits,
    balanced_share,
    disagreement,
    disturbed,
    length_strata,
)
from tests.support.clips import voice

LIMITS = AgreementLimits(0.3, 0.1, 0.8)


def _answer(text: str, confidence: float = 0.9, none_of_these: bool = False) -> DraftAnswer:
    return DraftAnswer(text, confidence, confidence, none_of_these)


@pytest.mark.parametrize(
    ("first", "second", "classes", "reason"),
    [
        (_answer("open the door"), _answer("open the door"), False, ""),
        (_answer("open the door"), _answer("open the doo"), False, ""),
        (_answer("open the door"), _answer("open a door"), False, "disagree"),
        (_answer("open the door"), _answer("open the door", 0.7), False, "not_sure"),
        (_answer("open the door", 0.7), _answer("open the door"), False, "not_sure"),
        (_answer(""), _answer(""), False, "no_answer"),
        (_answer("sad"), _answer("sad"), True, ""),
        # a class that is nearly spelt the same is another class
        (_answer("valve one open"), _answer("valve one opens"), True, "disagree"),
        (_answer("sad"), _answer("sad", none_of_these=True), True, "no_answer"),
    ],
)
def test_two_sure_answers_that_agree_are_a_label(
    first: DraftAnswer, second: DraftAnswer, classes: bool, reason: str
) -> None:
    assert disagreement(first, second, LIMITS, classes=classes) == reason


def test_short_recordings_and_frequent_classes_do_not_flood_the_share() -> None:
    short = [AgreedLabel(f"s{place}", "1", 1.0) for place in range(100)]
    long = [AgreedLabel(f"l{place}", "4", 8.0) for place in range(10)]
    taken = balanced_share([*short, *long], 40.0)
    seconds = {one.id: one.seconds for one in (*short, *long)}
    assert sum(seconds[one] for one in taken) <= 40.0
    assert sum(one.startswith("l") for one in taken) >= 2
    # inside a stratum, the preferred ones come first
    assert [one for one in taken if one.startswith("s")][:3] == ["s0", "s1", "s2"]
    # what the others cannot fill is theirs
    assert len(balanced_share([*short, long[0]], 40.0)) == 33
    assert balanced_share(short, 0.0) == []


def test_the_quarters_are_those_of_all_lengths() -> None:
    assert length_strata({"a": 4.0, "b": 1.0, "c": 2.0, "d": 3.0}) == {"b": "1", "c": "2", "d": "3", "a": "4"}
    assert length_strata({}) == {}


def test_the_second_decoding_has_other_samples_and_always_the_same() -> None:
    samples = voice(0.5, 200, 1)
    first, again, other = (disturbed(samples, clip * 8, 400) for clip in ("a", "a", "b"))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[:4000], other[:4000])
    assert not np.allclose(first[:4000], samples[:4000])
