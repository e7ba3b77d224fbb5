"""The answers of one or two systems to the golden set, clip by clip or trial by trial: filtered, sorted, paged.

What the second system makes worse comes first. With one system, the most errors come first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from elp_core.errors import CorpusError
from elp_core.metrics.eer import eer
from elp_core.metrics.scores import BoolArray, ClipScores, FloatArray, IntArray, TrialScores
from elp_core.metrics.wer import error_rate
from pipelines.registry.evidence_scores import Scores
from pipelines.server.read_models.word_marks import Mark, mark_answer, split_tokens

PAGE_ROWS = 100
"""Clips or trials on one page."""
UNNAMED_CONDITION = "(none)"
"""Name of the clips without a condition in the filter."""


@dataclass(frozen=True)
class System:
    """A version, and its scores."""

    name: str
    """Such as ``v3``."""
    scores: Scores
    own_threshold: float | None = None
    """Of the bundle; without one, trials are decided at the threshold of the equal error rate."""

    @property
    def threshold(self) -> float:
        """The score from which a trial is accepted; raises CorpusError if there are no trials of both kinds."""
        assert isinstance(self.scores, TrialScores)
        if self.own_threshold is not None:
            return self.own_threshold
        return eer(self.scores.scores, self.scores.targets).threshold


@dataclass(frozen=True)
class Selection:
    """Which rows are wanted."""

    condition: str = ""
    """Empty for all."""
    speaker: str = ""
    """Empty for all; a trial is shown if one of its clips has the speaker."""
    first: int = 0
    """Place of the first row among those that match."""
    group: str = ""
    """A key with its value, such as ``dialect=kansai``; empty for all."""


@dataclass(frozen=True)
class ClipName:
    """A clip of the golden set."""

    id: str
    speaker: str
    condition: str


@dataclass(frozen=True)
class Answer:
    """What one system answered to a clip."""

    marks: tuple[Mark, ...]
    errors: int


@dataclass(frozen=True)
class ClipAnswers:
    """One clip, with the answer of each system."""

    clip: ClipName
    reference: str
    tokens: int
    answers: tuple[Answer, ...]
    change: int
    """Errors of the second system minus those of the first; 0 with one system."""


@dataclass(frozen=True)
class TrialAnswers:
    """One trial, with the score of each system."""

    clips: tuple[ClipName, ClipName]
    target: bool
    """Whether both clips have one speaker."""
    scores: tuple[float, ...]
    wrong: tuple[bool, ...]
    change: int
    """1 if only the second system is wrong, −1 if only the first is."""


@dataclass(frozen=True)
class AnswerPage:
    """A page of rows."""

    systems: tuple[System, ...]
    selection: Selection
    rows: tuple[ClipAnswers | TrialAnswers, ...]
    total: int
    matching: int
    """Rows on all pages of this selection."""
    worse: int
    """How many of them the second system makes worse."""
    better: int
    conditions: tuple[str, ...]
    speakers: tuple[str, ...]

    @property
    def counted(self) -> str:
        """What the metric counts: word, character, clip or target trial."""
        return self.systems[0].scores.counted

    @property
    def trials(self) -> bool:
        """Whether the rows are trials."""
        return isinstance(self.systems[0].scores, TrialScores)

    @property
    def previous(self) -> int | None:
        """First row of the page before; None on the first page."""
        return max(0, self.selection.first - PAGE_ROWS) if self.selection.first else None

    @property
    def following(self) -> int | None:
        """First row of the next page; None on the last page."""
        after = self.selection.first + len(self.rows)
        return after if after < self.matching else None


@dataclass(frozen=True)
class ConditionRates:
    """The metric of each system on one recording condition, or on one group such as ``dialect=kansai``."""

    name: str
    size: int
    """Clips, or target trials."""
    values: tuple[float | None, ...]
    """None if a system has no metric there, such as an EER without strangers."""


def show_answers(systems: Sequence[System], wanted: Selection) -> AnswerPage:
    """Return a page of the answers; raise CorpusError if the systems did not answer the same clips."""
    _check_same_clips(systems)
    scores = systems[-1].scores
    kept = _matching(scores, wanted)
    if isinstance(scores, ClipScores):
        errors = [_clips(system).errors[kept] for system in systems]
        change = errors[-1] - errors[0]
        order = kept[np.lexsort((-errors[-1], -change))]
    else:
        wrong_by = [_wrong_by(system, kept) for system in systems]
        change = (wrong_by[-1] > 0).astype(np.int64) - (wrong_by[0] > 0)
        order = kept[np.lexsort((-wrong_by[-1], -change))]
    shown = [int(place) for place in order[wanted.first : wanted.first + PAGE_ROWS]]
    return AnswerPage(
        systems=tuple(systems),
        selection=wanted,
        rows=tuple(_trial_rows(systems, shown) if isinstance(scores, TrialScores) else _clip_rows(systems, shown)),
        total=len(scores),
        matching=len(kept),
        worse=int((change > 0).sum()),
        better=int((change < 0).sum()),
        conditions=tuple(sorted({name or UNNAMED_CONDITION for name in scores.conditions} - {UNNAMED_CONDITION}))
        + ((UNNAMED_CONDITION,) if any(scores.conditions) and not all(scores.conditions) else ()),
        speakers=tuple(sorted(set(filter(None, scores.speakers)))),
    )


def condition_rates(systems: Sequence[System]) -> tuple[ConditionRates, ...]:
    """Return the metric of each system by condition, then by group; empty if no clip has either.

    Raise CorpusError as `show_answers`.
    """
    _check_same_clips(systems)
    scores = systems[0].scores
    names = sorted({name or UNNAMED_CONDITION for name in scores.conditions})
    wanted = {name: Selection(condition=name) for name in names if names != [UNNAMED_CONDITION]}
    pairs = {pair for text in {*scores.groups} for pair in text.split("; ") if pair}
    wanted |= {pair: Selection(group=pair) for pair in sorted(pairs)}
    found = []
    for name, selection in wanted.items():
        kept = _matching(scores, selection)
        parts = [system.scores.select(kept) for system in systems]
        found.append(ConditionRates(name, parts[0].size, tuple(_rate(part) for part in parts)))
    return tuple(found)


def _rate(scores: Scores) -> float | None:
    if isinstance(scores, ClipScores):
        return error_rate(scores.errors, scores.tokens)
    try:
        return eer(scores.scores, scores.targets).value
    except CorpusError:
        return None


def _check_same_clips(systems: Sequence[System]) -> None:
    first = systems[0].scores
    for other in (system.scores for system in systems[1:]):
        same = type(first) is type(other) and first.metric == other.metric and first.ids == other.ids
        if same and isinstance(first, ClipScores) and isinstance(other, ClipScores):
            same = first.references == other.references and np.array_equal(first.tokens, other.tokens)
        elif same and isinstance(first, TrialScores) and isinstance(other, TrialScores):
            same = np.array_equal(first.a, other.a) and np.array_equal(first.b, other.b)
        if not same:
            raise CorpusError("the two versions did not answer the same clips with the same references")


def _matching(scores: Scores, wanted: Selection) -> IntArray:
    """Return the places of the wanted clips, or trials: both clips in the condition, one of them of the speaker."""
    count = len(scores.ids)
    condition, speaker = np.ones(count, bool), np.ones(count, bool)
    if wanted.condition:
        condition = _equal((name or UNNAMED_CONDITION for name in scores.conditions), wanted.condition)
    if wanted.group:
        condition &= np.array([wanted.group in text.split("; ") for text in scores.groups], bool)
    if wanted.speaker:
        speaker = _equal(scores.speakers, wanted.speaker)
    if isinstance(scores, ClipScores):
        return np.flatnonzero(condition & speaker)
    both = condition[scores.a] & condition[scores.b]
    return np.flatnonzero(both & (speaker[scores.a] | speaker[scores.b]))


def _equal(names: Iterable[str], wanted: str) -> BoolArray:
    return np.array([name == wanted for name in names], np.bool_)


def _wrong_by(system: System, kept: IntArray) -> FloatArray:
    """Return how far each trial's score is on the wrong side of the threshold; at most 0 if it is decided rightly."""
    scores, threshold = _trials(system), system.threshold
    of_each, targets = scores.scores[kept], scores.targets[kept]
    # a score that reaches the threshold is accepted: a stranger is wrong there, too
    beyond = np.maximum(of_each - threshold, np.finfo(np.float64).tiny)
    return np.where(targets, threshold - of_each, np.where(of_each >= threshold, beyond, of_each - threshold))


def _clip_rows(systems: Sequence[System], places: Sequence[int]) -> list[ClipAnswers]:
    scores = _clips(systems[-1])
    spaces = _counts_spaces(scores)
    joint = "" if scores.counted == "character" else " "
    rows = []
    for place in places:
        reference, answers = scores.references[place], []
        for system in systems:
            own = _clips(system)
            heard, errors = own.hypotheses[place], int(own.errors[place])
            if scores.counted == "clip":
                marks: tuple[Mark, ...] = (Mark("replaced", heard, reference) if errors else Mark("same", heard),)
            else:
                said, answered = (split_tokens(text, scores.counted, spaces) for text in (reference, heard))
                marks = mark_answer(said, answered, joint)
            answers.append(Answer(marks, errors))
        change = answers[-1].errors - answers[0].errors
        rows.append(ClipAnswers(_name(scores, place), reference, int(scores.tokens[place]), tuple(answers), change))
    return rows


def _counts_spaces(scores: ClipScores) -> bool:
    """Return whether blanks are among the characters that were counted: they are in languages that write spaces."""
    return scores.counted == "character" and int(scores.tokens.sum()) != sum(
        len("".join(text.split())) for text in scores.references
    )


def _trial_rows(systems: Sequence[System], places: Sequence[int]) -> list[TrialAnswers]:
    scores = _trials(systems[-1])
    wrong = [_wrong_by(system, np.array(places, np.int64)) > 0 for system in systems]
    rows = []
    for row, place in enumerate(places):
        clips = _name(scores, int(scores.a[place])), _name(scores, int(scores.b[place]))
        values = tuple(float(_trials(system).scores[place]) for system in systems)
        decided = tuple(bool(one[row]) for one in wrong)
        rows.append(TrialAnswers(clips, bool(scores.targets[place]), values, decided, decided[-1] - decided[0]))
    return rows


def _name(scores: Scores, clip: int) -> ClipName:
    return ClipName(scores.ids[clip], scores.speakers[clip], scores.conditions[clip])


def _clips(system: System) -> ClipScores:
    assert isinstance(system.scores, ClipScores)
    return system.scores


def _trials(system: System) -> TrialScores:
    assert isinstance(system.scores, TrialScores)
    return system.scores
