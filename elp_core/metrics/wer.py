"""Word and character error rates from Levenshtein edit counts (rapidfuzz, in C)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein

from elp_core.errors import CorpusError
from elp_core.metrics.scores import ClipScores, Evaluation, IntArray


def word_errors(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Count edits and reference words of each pair; words are separated by white space.

    Returns:
        errors int64 [N], words int64 [N].

    Raises:
        CorpusError: The two lists differ in length.
    """
    _check_pairs(hypotheses, references)
    split = [
        (hypothesis.split(), reference.split()) for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]
    errors = np.array([Levenshtein.distance(h, r) for h, r in split], np.int64)
    return errors, np.array([len(r) for _, r in split], np.int64)


def character_errors(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Count edits and reference characters of each pair, spaces included: int64 [N] each.

    Raises:
        CorpusError: The two lists differ in length.
    """
    _check_pairs(hypotheses, references)
    errors = [Levenshtein.distance(h, r) for h, r in zip(hypotheses, references, strict=True)]
    return np.array(errors, np.int64), np.array([len(r) for r in references], np.int64)


def error_rate(errors: IntArray, words: IntArray) -> float:
    """Return edits divided by reference tokens of the whole set, from N counts each, int64 [N].

    A set without any reference token has rate 0 if every hypothesis is empty, and 1 otherwise.
    """
    edits, tokens = int(errors.sum()), int(words.sum())
    return edits / tokens if tokens else float(edits > 0)


def wer(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Return the word error rate of the whole set, as a share (0.08 is 8 %).

    Raises:
        CorpusError: The two lists differ in length.
    """
    return error_rate(*word_errors(hypotheses, references))


def cer(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Return the character error rate of the whole set, as a share.

    Raises:
        CorpusError: The two lists differ in length.
    """
    return error_rate(*character_errors(hypotheses, references))


def evaluate_transcripts(
    ids: Sequence[str],
    speakers: Sequence[str],
    conditions: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
) -> Evaluation:
    """Score one hypothesis for each clip; `extra` has ``cer``, ``words``, ``clips`` and ``empty`` (empty hypotheses).

    Raises:
        CorpusError: The lists differ in length.
    """
    errors, words = word_errors(hypotheses, references)
    scores = ClipScores(
        tuple(ids), tuple(speakers), tuple(conditions), errors, words, tuple(hypotheses), tuple(references)
    )
    extra = {
        "cer": cer(hypotheses, references),
        "words": float(words.sum()),
        "clips": float(len(scores)),
        "empty": float(sum(not h.strip() for h in hypotheses)),
    }
    return Evaluation("wer", error_rate(errors, words), scores, extra)


def _check_pairs(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references):
        raise CorpusError(
            f"{len(hypotheses)} hypotheses for {len(references)} references; expected one hypothesis for each reference"
        )
