"""The most probable way in which a recording says a transcript, if it says it: Viterbi search over an hour and more.

The trellis is that of CTC segmentation (Kürzinger et al. 2020, "CTC-Segmentation of Large Corpora for German
End-to-end Speech Recognition"): a state for each unit, which stays by the blank or by the unit again. Two things are
added, because transcripts of recordings leave out and invent. Between two words there is a state for speech that is
not in the transcript (`SPEECH`), and a word may be skipped that is not spoken.

Log-probabilities are relative to the best class of their frame, so a path that follows the greedy decoding costs
nothing, and each cost is what a deviation from it costs.

torchaudio's `forced_align` keeps all back-pointers (frames times states: 14 GB for an hour) and can skip nothing, and
the package ctc-segmentation has no wheel and searches a window around the diagonal, which a missing passage leaves.
Here the frames are divided into parts again and again, in the manner of Hirschberg's algorithm (1975): a pass keeps,
for each state, only where its path was at the borders of the parts. The result is exact, the time is frames times
states, and the memory is a few arrays of all states.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from elp_core.inference.emission_file import BEST, FREE, QUIET, UNITS, EmissionFile
from elp_core.languages import BLANK

UNSPOKEN_UNIT = 2.5
"""Cost of a unit of a word that is skipped, in nats."""
FOREIGN_FRAME = 2.5
"""Cost of a frame of speech that is not in the transcript; frames of blanks cost nothing."""
FOREIGN_SPEECH = 8.0
"""Cost of each stretch of such speech: otherwise a word that occurs in it, too, would be taken out of its sentence."""
_PARTS = 32
_CELLS = 2**24
"""Frames times states for which all back-pointers are kept, one byte each."""
_NEVER = np.float32(-np.inf)
_STAY, _LAST_UNIT, _SKIPPED, _WAS_SPEECH = range(4)
"""How the state between two words was reached: by its own frame, from the word before, by skipping that word, or from
speech that is not in the transcript."""

SPEECH, PAUSE = 0, 1
_Value = TypeVar("_Value", bound=np.generic)
Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PathStates:
    """The states of a transcript, numbered along it: ``SPEECH PAUSE units … SPEECH PAUSE units … SPEECH PAUSE``."""

    columns: Places
    """Of each state, [states]: 0 for `SPEECH`, 1 for `PAUSE`, 2 for a unit that is not in the inventory, then units."""
    pauses: Places
    """States between the words, [words + 1], the ends included; the state before each is its `SPEECH`."""

    @classmethod
    def of(cls, words: Sequence[Sequence[int]]) -> PathStates:
        """Return the states of words, each given as the places of its units in an `EmissionFile`, -1 for unknown."""
        columns: list[int] = []
        pauses = []
        for units in (*words, ()):
            columns += [SPEECH, PAUSE]
            pauses.append(len(columns) - 1)
            columns += [3 + unit if unit >= 0 else 2 for unit in units]
        return cls(np.asarray(columns), np.asarray(pauses))

    def __len__(self) -> int:
        """Return the number of states."""
        return len(self.columns)

    def word_of(self, states: Places) -> Places:
        """Return for each state the word that it is of; for `SPEECH` and `PAUSE`, the word that follows."""
        found: Places = np.searchsorted(self.pauses, states + (self.columns[states] == SPEECH), side="right") - 1
        return found


def best_text_path(
    states: PathStates, emissions: EmissionFile, progress: Callable[[float], None] | None = None
) -> Places:
    """Return the state of each frame, int64 [frames], of the most probable path from the first state to the last one.

    A word of which no state occurs was not spoken. `progress` is called with the share that is done.
    """
    path = np.zeros(emissions.frames, np.int64)
    if len(path):
        _trace(states, emissions, (0, len(path)), (1, len(states) - 1), path, progress)
    return path


def _trace(
    states: PathStates,
    emissions: EmissionFile,
    frames: tuple[int, int],
    ends: tuple[int, int],
    path: Places,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write the path of some frames, which begins after the state `ends[0]` and ends in `ends[1]`, to `path`."""
    begin, after = frames
    search = _Search(states, ends)
    if after - begin == 1 or (after - begin) * len(search.states) <= _CELLS:
        path[begin:after] = _direct(search, emissions, frames, ends[1])
        return
    borders = np.unique(np.linspace(begin, after, _PARTS + 1).round().astype(int)).tolist()
    pairs, origins = list(itertools.pairwise(borders)), []
    for first, last in pairs:
        origin = search.states.astype(np.int32)
        for costs in _costs(emissions, first, last):
            search.advance(costs)
            search.follow(origin)
        origins.append(origin)
        # single precision is for the differences between states
        search.score -= search.score.max()
        if progress:
            progress((last - begin) / (after - begin))
    known = [ends[1]]
    for origin in reversed(origins[1:]):
        known.append(int(origin[search.place(known[-1])]))
    known.append(ends[0])
    del origins, origin, search
    for (first, last), to, since in zip(reversed(pairs), known[:-1], known[1:], strict=True):
        _trace(states, emissions, (first, last), (since, to), path)


def _direct(search: _Search, emissions: EmissionFile, frames: tuple[int, int], end: int) -> Places:
    """Return the state of each of a few frames, with all back-pointers."""
    begin, after = frames
    moved = np.zeros((after - begin, len(search.units)), bool)
    reached = np.zeros((after - begin, len(search.pauses)), np.uint8)
    opened = np.zeros((after - begin, len(search.pauses)), bool)
    for frame, costs in enumerate(_costs(emissions, begin, after)):
        search.advance(costs)
        moved[frame], reached[frame], opened[frame] = search.moved, search.reached(), search.opened
    path = np.zeros(after - begin, np.int64)
    units = len(search.units)
    words, speech = len(search.pauses) - 1, units + len(search.pauses)
    place = search.place(end)
    for frame in range(after - begin - 1, -1, -1):
        if place >= speech and opened[frame, place - speech]:
            place -= words + 1
        if units <= place < speech:
            while reached[frame, place - units] == _SKIPPED:
                place -= 1
            word = place - units
            if reached[frame, word] == _LAST_UNIT:
                place = int(search.lasts[word - 1])
            elif reached[frame, word] == _WAS_SPEECH:
                place += words + 1
        path[frame] = search.states[place]
        if place < units and moved[frame, place]:
            place = units + int(search.word_of_first[place]) if search.word_of_first[place] >= 0 else place - 1
    return path


class _Search:
    """The search over the words between two states. Places in its arrays: all units, then all pauses, all speech."""

    def __init__(self, states: PathStates, ends: tuple[int, int]) -> None:
        """Begin before the first frame after the state `ends[0]`."""
        first, last = states.word_of(np.asarray(ends)).tolist()
        # a unit at the end needs its whole word, and with it the pause after the word
        last += int(states.columns[ends[1]] >= 2)
        self.pauses = states.pauses[first : last + 1]
        inside = np.arange(self.pauses[0] + 1, self.pauses[-1] - 1)
        self.units = inside[states.columns[inside] >= 2]
        self.states = np.concatenate([self.units, self.pauses, self.pauses - 1])
        self._columns = states.columns[self.units]
        self._firsts = np.searchsorted(self.units, self.pauses[:-1])
        self.lasts = np.searchsorted(self.units, self.pauses[1:]) - 1
        self.word_of_first = np.full(len(self.units), -1)
        self.word_of_first[self._firsts] = np.arange(len(self._firsts))
        self._skips = np.append(0, self.lasts + 1) * UNSPOKEN_UNIT
        self._kept, self._entered = (np.empty(len(self.units), np.float32) for _ in range(2))
        self._before = np.empty(len(self.units), np.float32)
        self._origin_before = np.empty(len(self.units), np.int32)
        self.moved = np.zeros(len(self.units), bool)
        self.score = np.full(len(self.states), _NEVER, np.float32)
        self.score[self.place(ends[0])] = 0.0
        self._pass_on()

    def place(self, state: int) -> int:
        """Return the place of a state in the arrays."""
        found = np.flatnonzero(self.states == state)
        return int(found[0])

    def advance(self, costs: _Costs) -> None:
        """Take one more frame."""
        units, pauses, speech = self._split(self.score)
        np.take(costs.enter, self._columns, out=self._entered, mode="clip")
        np.maximum(self._entered, costs.blank, out=self._kept)
        self._kept += units
        self._before[1:] = units[:-1]
        self._before[self._firsts] = pauses[:-1]
        self._entered += self._before
        np.greater(self._entered, self._kept, out=self.moved)
        np.maximum(self._entered, self._kept, out=units)
        pauses += costs.quiet
        speech += np.maximum(costs.quiet, np.float32(-FOREIGN_FRAME))
        self._pass_on()

    def _pass_on(self) -> None:
        """Pass scores on between words, which takes no frame: word, pause, skipped words, other speech."""
        units, pauses, speech = self._split(self.score)
        last_units = units[self.lasts]
        self._from_unit = last_units > pauses[1:]
        np.maximum(pauses[1:], last_units, out=pauses[1:])
        self._from_speech = speech > pauses
        np.maximum(pauses, speech, out=pauses)
        # what a pause would have if all words before it were skipped, and the best of those before it
        level = pauses + self._skips
        highest = np.maximum.accumulate(level)
        self._skipped = highest > level
        np.copyto(pauses, highest - self._skips, where=self._skipped, casting="same_kind")
        begun = pauses - np.float32(FOREIGN_SPEECH)
        self.opened = begun > speech
        np.maximum(speech, begun, out=speech)

    def reached(self) -> npt.NDArray[np.uint8]:
        """Return how each pause was reached in the last frame."""
        reached = np.zeros(len(self.pauses), np.uint8)
        reached[1:][self._from_unit] = _LAST_UNIT
        reached[self._from_speech] = _WAS_SPEECH
        reached[self._skipped] = _SKIPPED
        return reached

    def follow(self, origin: npt.NDArray[np.int32]) -> None:
        """Change `origin`, which belongs to the state before the last frame, to that of the path of each state now."""
        units, pauses, speech = self._split(origin)
        self._origin_before[1:] = units[:-1]
        self._origin_before[self._firsts] = pauses[:-1]
        np.copyto(units, self._origin_before, where=self.moved)
        np.copyto(pauses[1:], units[self.lasts], where=self._from_unit)
        np.copyto(pauses, speech, where=self._from_speech)
        if self._skipped.any():
            # a pause after skipped words has the path of the last one before it that was reached in another way
            pauses[:] = pauses[np.maximum.accumulate(np.where(self._skipped, 0, np.arange(len(pauses))))]
        np.copyto(speech, pauses, where=self.opened)

    def _split(self, values: npt.NDArray[_Value]) -> tuple[npt.NDArray[_Value], ...]:
        """Return the parts of an array: of units, of pauses, of speech."""
        units, pauses = len(self.units), len(self.pauses)
        return values[:units], values[units : units + pauses], values[units + pauses :]


class _Costs(NamedTuple):
    """Relative log-probabilities of one frame."""

    enter: Floats
    """Of each column."""
    blank: np.float32
    quiet: np.float32
    """Of the better of blank and space."""


def _costs(emissions: EmissionFile, first: int, last: int) -> Iterator[_Costs]:
    """Yield what each frame costs."""
    for start in range(first, last, 1024):
        rows = emissions.rows(start, min(start + 1024, last))
        rows -= rows[:, BEST, None]
        # the columns of the states: nothing for speech and pause, then a unit that the inventory does not have
        enter = np.full((len(rows), rows.shape[1] - UNITS + 3), _NEVER, np.float32)
        enter[:, 2], enter[:, 3:] = rows[:, FREE], rows[:, UNITS:]
        yield from map(_Costs, enter, rows[:, BLANK], rows[:, QUIET])
