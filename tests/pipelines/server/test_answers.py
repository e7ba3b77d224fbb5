"""The answers of two systems to the golden set: marks, order, filters and pages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elp_core.errors import CorpusError
from elp_core.metrics.scores import ClipScores, TrialScores
from elp_core.metrics.wer import character_errors, word_errors
from pipelines.server.read_models import answers, word_marks
from pipelines.server.read_models.answers import ClipAnswers, Selection, System, TrialAnswers, condition_rates
from pipelines.server.read_models.answers import show_answers as show
from pipelines.server.read_models.word_marks import Mark, mark_answer, split_tokens
from tests.support.scores import classes, clips, trials

WORDS = st.lists(st.sampled_from(["one", "two", "three", "four"]), max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("said", "heard", "marks"),
    [
        ("turn the lamp on", "turn the lamp on", [Mark("same", "turn the lamp on")]),
        ("turn the lamp on", "turn lamp on", [Mark("same", "turn"), Mark("missing", "the"), Mark("same", "lamp on")]),
        ("lamp on", "lamp on now", [Mark("same", "lamp on"), Mark("added", "now")]),
        ("two three", "too tree", [Mark("replaced", "too", "two"), Mark("replaced", "tree", "three")]),
        (
            "one two three",
            "too three and",
            [Mark("replaced", "too", "one"), Mark("missing", "two"), Mark("same", "three"), Mark("added", "and")],
        ),
        ("lamp on", "", [Mark("missing", "lamp on")]),
        ("", "lamp", [Mark("added", "lamp")]),
        ("", "", []),
    ],
)
def test_words_are_marked(said: str, heard: str, marks: list[Mark]) -> None:
    assert list(mark_answer(said.split(), heard.split(), " ")) == marks


def test_characters_are_marked_in_runs() -> None:
    said, heard = (split_tokens(text, "character", spaces=False) for text in ("扉を 開けて", "扉を閉めました"))
    assert mark_answer(said, heard, "")[0] == Mark("same", "扉を")
    assert "".join(mark.text for mark in mark_answer(said, heard, "") if mark.kind != "missing") == "扉を閉めました"


@pytest.mark.parametrize("cells", [0, 10_000])
@given(said=WORDS, heard=WORDS)
def test_the_marks_are_the_edits_that_the_error_rate_counts(cells: int, said: str, heard: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_marks, "_CELLS", cells)
        _check_marks(said, heard)


def _check_marks(said: str, heard: str) -> None:
    marks = mark_answer(said.split(), heard.split(), " ")
    assert sum(len(mark.text.split()) for mark in marks if mark.kind != "same") == word_errors([heard], [said])[0][0]
    assert " ".join(mark.text for mark in marks if mark.kind != "missing") == heard
    kept = (mark.said or mark.text for mark in marks if mark.kind != "added")
    assert " ".join(kept) == said


@given(WORDS, WORDS)
def test_so_are_the_marks_of_characters(said: str, heard: str) -> None:
    one, other = (split_tokens(text, "character", spaces=False) for text in (said, heard))
    edits = sum(len(mark.text) for mark in mark_answer(one, other, "") if mark.kind != "same")
    assert edits == character_errors([heard], [said])[0][0]


def pair(before: ClipScores | TrialScores, after: ClipScores | TrialScores) -> list[System]:
    return [System("champion v1", before), System("v2", after)]


def ids(found: answers.AnswerPage) -> list[str]:
    return [row.clip.id for row in found.rows if isinstance(row, ClipAnswers)]


def test_what_the_challenger_makes_worse_comes_first() -> None:
    found = show(pair(clips([0, 3, 1, 2, 0]), clips([0, 3, 3, 0, 1])), Selection())
    assert ids(found) == ["c2", "c4", "c1", "c0", "c3"]
    assert [row.change for row in found.rows] == [2, 1, 0, 0, -2]
    assert (found.worse, found.better, found.total, found.matching) == (2, 1, 5, 5)


def test_of_a_first_version_the_most_errors_come_first() -> None:
    found = show([System("v1", clips([0, 3, 1]))], Selection())
    assert ids(found) == ["c1", "c2", "c0"]
    assert [len(row.answers) for row in found.rows if isinstance(row, ClipAnswers)] == [1, 1, 1]
    assert (found.worse, found.better) == (0, 0)


def test_clips_are_filtered_by_condition_and_speaker() -> None:
    made = [clips(errors, 2, conditions=("quiet", "press", "")) for errors in ([0] * 12, [1] * 12)]
    found = show(pair(*made), Selection(condition="press", speaker="s1"))
    assert ids(found) == ["c1", "c7"]
    assert (found.matching, found.total, found.worse) == (2, 12, 2)
    assert found.conditions == ("press", "quiet", "(none)")
    assert found.speakers == ("s0", "s1")
    assert ids(show(pair(*made), Selection(condition="(none)"))) == ["c2", "c5", "c8", "c11"]
    assert show(pair(*made), Selection(condition="nowhere")).rows == ()


def test_rows_come_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PAGE_ROWS", 2)
    systems = [System("v1", clips([5, 4, 3, 2, 1]))]
    pages = [show(systems, Selection(first=first)) for first in (0, 2, 4, 99)]
    assert [ids(page) for page in pages] == [["c0", "c1"], ["c2", "c3"], ["c4"], []]
    assert [(page.previous, page.following) for page in pages[:3]] == [(None, 2), (0, 4), (2, None)]


def test_labels_are_right_or_wrong_as_a_whole() -> None:
    found = show(pair(classes(40, 0.0), classes(40, 0.5)), Selection())
    first = found.rows[0]
    assert isinstance(first, ClipAnswers)
    assert [answer.marks[0].kind for answer in first.answers] == ["same", "replaced"]
    assert first.answers[1].marks[0].said == first.reference
    assert found.counted == "clip"


def test_trials_that_only_the_challenger_decides_wrongly_come_first() -> None:
    found = show(pair(trials(6, 4, 0.2), trials(6, 4, 1.2)), Selection())
    changes = [row.change for row in found.rows]
    assert changes == sorted(changes, reverse=True)
    first = found.rows[0]
    assert isinstance(first, TrialAnswers)
    assert first.wrong == (False, True)
    assert first.target == (first.clips[0].speaker == first.clips[1].speaker)


def test_a_trial_is_decided_at_the_threshold_of_the_bundle_if_it_is_known() -> None:
    made = trials(4, 3, 0.5)
    strict, lax = (System("v1", made, threshold) for threshold in (2.0, -2.0))
    for system, wrong in ((strict, made.targets), (lax, ~made.targets)):
        rows = show([system], Selection()).rows
        assert sum(any(row.wrong) for row in rows if isinstance(row, TrialAnswers)) == wrong.sum()
    reached = System("v1", replace(made, scores=np.zeros(len(made))), 0.0)
    rows = show([reached], Selection()).rows
    assert all(row.wrong[0] is not row.target for row in rows if isinstance(row, TrialAnswers))


def test_trials_are_filtered_by_both_conditions_and_either_speaker() -> None:
    made = [System("v1", trials(4, 3, 0.5, conditions=("quiet", "press")))]
    for row in show(made, Selection(condition="press", speaker="s1")).rows:
        assert isinstance(row, TrialAnswers)
        assert {clip.condition for clip in row.clips} == {"press"}
        assert "s1" in {clip.speaker for clip in row.clips}


@pytest.mark.parametrize(
    "other",
    [
        clips([0] * 4),
        replace(clips([0] * 5), references=("else",) * 5),
        replace(clips([0] * 5), metric="cer"),
        trials(2, 3, 0.1),
    ],
)
def test_systems_of_other_clips_are_not_compared(other: ClipScores | TrialScores) -> None:
    for shown in (lambda pair: show(pair, Selection()), condition_rates):
        with pytest.raises(CorpusError, match="did not answer the same clips"):
            shown(pair(clips([0] * 5), other))


def test_each_condition_has_its_rates() -> None:
    made = [clips(errors, conditions=("quiet", "")) for errors in ([1, 0] * 4, [1, 5] * 4)]
    found = condition_rates(pair(*made))
    assert [(one.name, one.size, one.values) for one in found] == [("(none)", 4, (0.0, 1.0)), ("quiet", 4, (0.2, 0.2))]
    assert condition_rates(pair(clips([0]), clips([1]))) == ()
    groups = ("dialect=kansai; gender=f", "gender=f") * 4
    found = condition_rates(pair(*(replace(one, conditions=("",) * 8, groups=groups) for one in made)))
    assert [(one.name, one.size) for one in found] == [("dialect=kansai", 4), ("gender=f", 8)]
    alone = trials(4, 1, 0.1, conditions=("a", "b"))
    assert condition_rates([System("v1", alone)])[0].values == (None,)
