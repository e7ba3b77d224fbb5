"""Word and character error rates from Levenshtein edit counts (rapidfuzz, in C)."""

from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein

from elp_core.errors import CorpusError
from elp_core.metrics.scores import ClipScores, Evaluation, IntArray, clip_columns
from elp_core.types import Clip


def word_errors(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Return the edits and the reference words of each pair, int64 [N] each; words are separated by white space.

    Raises:
        CorpusError: The two lists differ in length.
    """
    return _edits([text.split() for text in hypotheses], [text.split() for text in references])


def error_rate(errors: IntArray, words: IntArray) -> float:
    """Return edits divided by reference tokens of the whole set, from N counts each, int64 [N].

    A set without any reference token has rate 0 if every hypothesis is empty, and 1 otherwise.
    """
    edits, tokens = int(errors.sum()), int(words.sum())
    return edits / tokens if tokens else float(edits > 0)


def wer(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Return the word error rate of the whole set, as a share (0.08 is 8 %); raises as `word_errors`."""
    return error_rate(*word_errors(hypotheses, references))


def cer(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Return the character error rate of the whole set, as a share, spaces included.

    Raises:
        CorpusError: The two lists differ in length.
    """
    return error_rate(*_edits(hypotheses, references))


def evaluate_transcripts(clips: Sequence[Clip], hypotheses: Sequence[str]) -> Evaluation:
    """Compare one hypothesis for each clip with its text; raises as `word_errors`.

    `extra` has ``cer``, ``words``, ``clips`` and ``empty`` (empty hypotheses).
    """
    references = tuple(clip.text for clip in clips)
    errors, words = word_errors(hypotheses, references)
    scores = ClipScores(*clip_columns(clips), errors, words, tuple(hypotheses), references)
    extra = {
        "cer": cer(hypotheses, references),
        "words": float(words.sum()),
        "clips": float(len(scores)),
        "empty": float(sum(not h.strip() for h in hypotheses)),
    }
    return Evaluation("wer", error_rate(errors, words), scores, extra)


def _edits(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> tuple[IntArray, IntArray]:
    if len(hypotheses) != len(references):
        raise CorpusError(
            f"{len(hypotheses)} hypotheses for {len(references)} references; expected one hypothesis for each reference"
        )
    errors = [Levenshtein.distance(h, r) for h, r in zip(hypotheses, references, strict=True)]
    return np.array(errors, np.int64), np.array([len(r) for r in references], np.int64)
