"""From the log-probabilities of frames to words with their times and their confidence.

Greedy decoding has its path already: the best class of each frame. For a transcript that was found in another way, such
as by beam search, `align` finds the most probable path of that transcript (Viterbi over CTC's states).
"""

import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from elp_core.errors import CorpusError
from elp_core.languages import BLANK

_BOUNDARY = "▁"
"""How subwords are marked that begin a word."""
LogProbabilities = npt.NDArray[np.float32]
"""Of each class in each frame: float32 [frames, classes]; class 0 is CTC's blank."""


@dataclass(frozen=True)
class Token:
    """One letter (or other unit) on a path."""

    unit: int
    """Its class."""
    first: int
    """Its first frame."""
    last: int
    """Its last frame."""
    probability: float
    """The highest that the class has in these frames."""


@dataclass(frozen=True)
class FrameWord:
    """A word and the frames that it takes."""

    text: str
    first: int
    last: int
    confidence: float
    """0 to 1; see `words_of`."""


def best_path(log_probabilities: LogProbabilities) -> list[Token]:
    """Return the tokens of the best class in each frame of [frames, classes], repeats merged and blanks left out."""
    classes = log_probabilities.argmax(axis=1)
    return _tokens(classes.tolist(), log_probabilities)


def align(log_probabilities: LogProbabilities, units: Sequence[int]) -> tuple[list[Token], float]:
    """Return the tokens of the most probable path that spells `units`, and its mean log-probability a frame.

    `log_probabilities` are float32 [frames, classes]. Time and memory are frames times units.

    Raises:
        CorpusError: There are too few frames to spell the units: one for each, and a blank between equal neighbours.
    """
    frames = len(log_probabilities)
    needed = len(units) + sum(a == b for a, b in itertools.pairwise(units))
    if frames < max(needed, 1):
        raise CorpusError(f"{len(units)} units need {needed} frames, there are {frames}; the text is too long for it")
    # states: blank, unit, blank, unit, … blank
    states = np.full(2 * len(units) + 1, BLANK)
    states[1::2] = units
    emitted = log_probabilities[:, states].astype(np.float64)
    jumps = np.zeros(len(states), bool)
    jumps[3::2] = states[3::2] != states[1:-2:2]  # a blank between two different units may be left out
    score = np.full(len(states), -np.inf)
    score[:2] = emitted[0, :2]
    steps = np.zeros((frames, len(states)), np.int8)
    for frame in range(1, frames):
        options = np.full((3, len(states)), -np.inf)
        options[0] = score
        options[1, 1:] = score[:-1]
        options[2, 2:] = np.where(jumps[2:], score[:-2], -np.inf)
        steps[frame] = options.argmax(axis=0)
        score = options.max(axis=0) + emitted[frame]
    state = len(states) - 1 if len(states) == 1 or score[-1] >= score[-2] else len(states) - 2
    total = float(score[state])
    path = np.zeros(frames, np.int64)
    for frame in range(frames - 1, -1, -1):
        path[frame] = state
        state -= int(steps[frame, state])
    return _tokens(path.tolist(), log_probabilities, states.tolist()), total / frames


def words_of(tokens: Sequence[Token], symbols: Sequence[str], spaced: bool = True) -> list[FrameWord]:
    """Return the words that tokens spell; class n is written as ``symbols[n - 1]``.

    In a script without spaces (not `spaced`), each token is a word; the blank between two Latin words begins the second
    one, so that the words joined are the text.

    A word's confidence is the lowest probability of its tokens, each at its best frame: a word is as sure as its least
    sure letter. Blanks do not count: they are nearly always sure.
    """
    written = [symbol.replace(_BOUNDARY, " ") for symbol in symbols]
    words: list[FrameWord] = []
    for token in tokens:
        text = written[token.unit - 1]
        before = words[-1] if words else None
        if before and not spaced and not before.text.strip():
            words[-1] = FrameWord(" " + text.lstrip(), token.first, token.last, token.probability)
        elif before and spaced and not text.startswith(" ") and not before.text.endswith(" "):
            sure = min(before.confidence, token.probability) if text.strip() else before.confidence
            words[-1] = FrameWord(before.text + text, before.first, token.last if text.strip() else before.last, sure)
        else:
            words.append(FrameWord(text, token.first, token.last, token.probability))
    return [
        FrameWord(_spelt(word.text, blank=not spaced and place > 0), word.first, word.last, word.confidence)
        for place, word in enumerate(words)
        if word.text.strip()
    ]


def _spelt(text: str, blank: bool) -> str:
    """Return a word without blanks around it, but the one before it if `blank`; jamo are composed to syllables."""
    kept = " " if blank and text.startswith(" ") else ""
    return kept + unicodedata.normalize("NFC", text.strip())


def _tokens(
    path: Sequence[int], log_probabilities: LogProbabilities, states: Sequence[int] | None = None
) -> list[Token]:
    """Return the runs of equal steps of a path; with `states` the steps are their places, not classes."""
    found, first = [], 0
    for step, group in itertools.groupby(path):
        last = first + len(list(group)) - 1
        unit = step if states is None else states[step]
        if unit != BLANK:
            sure = float(np.exp(log_probabilities[first : last + 1, unit].max()))
            found.append(Token(unit, first, last, min(1.0, sure)))
        first = last + 1
    return found
