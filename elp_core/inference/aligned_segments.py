"""Cut an aligned recording into segments: at pauses between words, each with a score; bad stretches are separate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from elp_core._ranges import Checked, positive, within
from elp_core.inference.transcript_words import TranscriptWords


@dataclass(frozen=True)
class CutConfig(Checked):
    """How long segments are, and where they may begin and end; times are in seconds."""

    title: ClassVar[str] = "alignment"
    min_score: float = within(-1.5, -60.0, 0.0)
    """A segment with a lower score is bad, see `AlignedSegment.score`. It does not change where segments are cut."""
    apart_score: float = within(-1.5, -60.0, 0.0)
    """A stretch with a lower score is a segment of its own, so that its neighbours stay good."""
    max_seconds: float = positive(20.0)
    """Longer stretches are cut at a pause; one word without a pause may last longer."""
    pause: float = positive(0.3)
    """The shortest pause at which a stretch is cut."""
    long_pause: float = positive(1.0)
    """A pause that always ends a segment."""
    edge: float = positive(0.15)
    """The shortest pause that parts words from speech that is not in the transcript; without it they are bad, too."""
    margin: float = within(0.25, 0.0)
    """Kept of the pauses around a segment, at most half of each."""
    window: float = positive(0.6)
    """Length over which log-probabilities are averaged for the score; 30 frames of most backbones."""


@dataclass(frozen=True)
class SpokenFrames:
    """What the path through a transcript says of each word and frame."""

    first: npt.NDArray[np.int64]
    """First frame of each word, [words]; -1 if it was not spoken."""
    last: npt.NDArray[np.int64]
    """Last frame of each word, [words]."""
    foreign: npt.NDArray[np.bool_]
    """Whether a frame is speech that is not in the transcript, [frames]."""
    levels: npt.NDArray[np.float32]
    """Log-probability of the transcript in each frame, [frames]."""


Finding = Literal["good", "badly_aligned", "not_spoken", "not_in_transcript"]
"""What was found of a segment: good; a low score, or a mixture of the other two; words without speech; speech without
words."""


@dataclass(frozen=True)
class FrameSegment:
    """A stretch of words and its frames."""

    words: tuple[int, int]
    """First word, and the one after the last."""
    begin: float
    """First frame; a fraction if it shares a pause with the segment before."""
    end: float
    """Frame after the last one; equal to `begin` if nothing of it was spoken."""
    score: float
    """The lowest mean log-probability of a window in it."""
    finding: Finding


@dataclass(frozen=True)
class _Piece:
    """Words and frames that are not cut any more."""

    words: tuple[int, int]
    begin: int
    end: int
    bad: bool = False
    """Words that were not spoken, or speech without words, are in it."""
    score: float = 0.0
    apart: bool = False
    """It is not joined with others."""


def cut_segments(text: TranscriptWords, spoken: SpokenFrames, rate: float, config: CutConfig) -> list[FrameSegment]:
    """Return the segments of a recording of `rate` frames a second, in order.

    Law: the words of the segments are those of the transcript, in order and each once; the frames of two segments do
    not overlap.
    """
    atoms = list(_atoms(spoken, rate, config))
    window = max(1, round(config.window * rate))
    pieces = [_scored(_joined(atoms[i:j]), spoken, window, config) for i, j in _stretches(text, atoms, rate, config)]
    packed = list(_packed(text, pieces, rate, config))
    # the ends of the recording, too, are shared with nothing
    ends = [_Piece((0, 0), 0, 0), *packed, _Piece((0, 0), len(spoken.levels), len(spoken.levels))]
    segments = []
    for before, piece, after in zip(ends, packed, ends[2:], strict=False):
        margin = config.margin * rate if _sounds(piece) else 0.0
        begin = piece.begin - min(margin, (piece.begin - before.end) / (1 + _sounds(before)))
        end = piece.end + min(margin, (after.begin - piece.end) / (1 + _sounds(after)))
        segments.append(FrameSegment(piece.words, begin, end, piece.score, _finding(piece, config)))
    return segments


def _sounds(piece: _Piece) -> bool:
    """Return whether something of it was spoken."""
    return piece.end > piece.begin


def _finding(piece: _Piece, config: CutConfig) -> Finding:
    if piece.words[0] == piece.words[1]:
        return "not_in_transcript"
    if not _sounds(piece):
        return "not_spoken"
    return "badly_aligned" if piece.bad or piece.score < config.min_score else "good"


def _atoms(spoken: SpokenFrames, rate: float, config: CutConfig) -> Iterator[_Piece]:
    """Yield each spoken word, and before them what was not spoken and the speech that is not in the transcript."""
    least, most = max(2, round(0.06 * rate)), max(1, round(config.max_seconds * rate))
    word, frame, frames = 0, 0, len(spoken.levels)
    for next_word in (*np.flatnonzero(spoken.first >= 0).tolist(), len(spoken.first)):
        ends = next_word == len(spoken.first)
        after = frames if ends else int(spoken.first[next_word])
        foreign = np.flatnonzero(spoken.foreign[frame:after]) + frame
        if len(foreign) >= least:
            last = int(foreign[-1]) + 1
            for begin in range(int(foreign[0]), last, most):
                # the skipped words belong to the first part of it
                yield _Piece((word, next_word), begin, min(begin + most, last), bad=True)
                word = next_word
        elif next_word > word:
            place = (frame + after) // 2
            yield _Piece((word, next_word), place, place, bad=True)
        if not ends:
            frame = int(spoken.last[next_word]) + 1
            yield _Piece((next_word, next_word + 1), after, frame)
            word = next_word + 1


def _stretches(
    text: TranscriptWords, atoms: Sequence[_Piece], rate: float, config: CutConfig
) -> Iterator[tuple[int, int]]:
    """Yield the ranges of atoms that are not cut: between pauses, and at most as long as a segment if they can be."""
    longest = config.max_seconds * rate
    begin = 0
    for place in range(1, len(atoms) + 1):
        if place < len(atoms):
            before, after = atoms[place - 1], atoms[place]
            least = config.edge if before.bad or after.bad else config.pause
            if after.begin - before.end < least * rate or not text.may_cut(after.words[0]):
                continue
        waiting = [(begin, place)]
        while waiting:
            first, last = waiting.pop()
            cut = _widest(text, atoms, first, last) if atoms[last - 1].end - atoms[first].begin > longest else None
            if cut is None:
                yield first, last
            else:
                waiting += [(cut, last), (first, cut)]
        begin = place


def _widest(text: TranscriptWords, atoms: Sequence[_Piece], first: int, last: int) -> int | None:
    """Return the atom before which the widest pause is, of equal ones the one nearest to the middle, if there is any.

    Atoms at the ends, up to an eighth of the length, are left out if others can be had: a word alone is no clip.
    """
    middle, eighth = (atoms[first].begin + atoms[last - 1].end) / 2, (atoms[last - 1].end - atoms[first].begin) / 8

    def wide(place: int) -> tuple[bool, int, float]:
        begin, away = atoms[place].begin, abs(atoms[place].begin - middle)
        return away <= 3 * eighth, begin - atoms[place - 1].end, -away

    return max(
        (place for place in range(first + 1, last) if text.may_cut(atoms[place].words[0])), key=wide, default=None
    )


def _joined(pieces: Sequence[_Piece]) -> _Piece:
    words = (pieces[0].words[0], pieces[-1].words[1])
    bad, score = any(piece.bad for piece in pieces), min(piece.score for piece in pieces)
    return _Piece(words, pieces[0].begin, pieces[-1].end, bad, score)


def _scored(piece: _Piece, spoken: SpokenFrames, window: int, config: CutConfig) -> _Piece:
    """Return a piece with the lowest mean of a window (Kürzinger et al. 2020, section 2.2), apart if that is too low.

    The windows are those in the piece, or around it if it is shorter than one.
    """
    lacking = max(0, window - (piece.end - piece.begin))
    begin = max(0, piece.begin - lacking // 2)
    levels = spoken.levels[begin : max(piece.end, begin + window)]
    sums = np.cumsum([0.0, *levels])
    size = min(window, len(levels))
    score = float((sums[size:] - sums[:-size]).min() / size)
    return replace(piece, score=score, apart=piece.bad or score < config.apart_score)


def _packed(text: TranscriptWords, pieces: Sequence[_Piece], rate: float, config: CutConfig) -> Iterator[_Piece]:
    """Yield pieces that follow each other as segments, which end at long pauses and at ends of sentences."""
    held: list[_Piece] = []
    for piece in pieces:
        pause = piece.begin - held[-1].end if held else 0
        if held and (piece.apart or held[-1].apart or pause >= config.long_pause * rate):
            yield from _segments(text, held, rate, config)
            held = []
        held.append(piece)
    if held:
        yield from _segments(text, held, rate, config)


def _segments(text: TranscriptWords, pieces: list[_Piece], rate: float, config: CutConfig) -> Iterator[_Piece]:
    longest = config.max_seconds * rate
    first = 0
    while first < len(pieces):
        begin, after = pieces[first].begin, first + 1
        ratings: list[tuple[bool, float, int]] = []
        while after < len(pieces) and pieces[after].end - begin <= longest:
            ratings.append(_cut_rating(text, pieces, first, after, rate, config))
            after += 1
        if after < len(pieces):
            ratings.append(_cut_rating(text, pieces, first, after, rate, config))
            after = max(ratings)[2]
        yield _joined(pieces[first:after])
        first = after


def _cut_rating(
    text: TranscriptWords, pieces: Sequence[_Piece], first: int, place: int, rate: float, config: CutConfig
) -> tuple[bool, float, int]:
    """Return how good a cut before the piece `place` is for a segment that begins with `first`: the higher, the better.

    A segment is a third of the allowed length or longer, if it can be; the end of a sentence counts as 0.3 s of pause.
    """
    long_enough = pieces[place - 1].end - pieces[first].begin >= config.max_seconds * rate / 3
    ends = text.words[pieces[place].words[0] - 1].ends_sentence
    return long_enough, pieces[place].begin - pieces[place - 1].end + ends * config.pause * rate, place
