"""Word and character error rates from Levenshtein edit counts (rapidfuzz, in C)."""

from collections.abc import Callable, Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein

from elp_core.errors import CorpusError
from elp_core.languages import Language, Metric, language
from elp_core.metrics.scores import ClipScores, Evaluation, IntArray, clip_columns, clip_groups
from elp_core.types import Clip


def word_errors(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Return the edits and the reference words of each pair, int64 [N] each; words are separated by white space.

    Raises:
        CorpusError: The two lists differ in length.
    """
    return _edits([text.split() for text in hypotheses], [text.split() for text in references])


def character_errors(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Return the edits and the reference characters of each pair, int64 [N] each, without the white space.

    Scripts without spaces are scored like this (AISHELL, CSJ, KsponSpeech): a blank there is a matter of typing.

    Raises:
        CorpusError: The two lists differ in length.
    """
    return _edits(["".join(text.split()) for text in hypotheses], ["".join(text.split()) for text in references])


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


def evaluate_transcripts(
    clips: Sequence[Clip], hypotheses: Sequence[str], spoken: Language | None = None, metric: Metric | None = None
) -> Evaluation:
    """Compare one hypothesis for each clip with its text, both in the normal form of the language (None: English).

    `metric` decides, or else the language's own: WER over words, or CER over characters (without spaces; in a language
    whose own metric is WER, with them). `extra` has the other one, ``words``, ``clips``, ``empty`` (empty hypotheses);
    with CER also ``characters`` and ``cer_<variant>`` for each variant, such as ``cer_reading``.

    Raises:
        CorpusError: There is not one hypothesis for each clip.
        ConfigError: A package of the language is not installed.
    """
    spoken = spoken or language("en")
    references = tuple(spoken.normalise(clip.text) for clip in clips)
    answers = tuple(spoken.normalise(text) for text in hypotheses)
    by_word = word_errors(answers, references)
    counts = {
        "words": float(by_word[1].sum()),
        "clips": float(len(clips)),
        "empty": float(sum(not text.strip() for text in answers)),
    }
    deciding = metric or spoken.metric
    by_character = (_edits if spoken.metric == "wer" else character_errors)(answers, references)
    if deciding == "wer":
        errors, tokens = by_word
        extra = {"cer": error_rate(*by_character), **counts}
    else:
        errors, tokens = by_character
        extra = {"wer": error_rate(*by_word), "characters": float(tokens.sum()), **counts}
        extra |= {f"cer_{name}": _variant(answers, references, form) for name, form in spoken.variants.items()}
    scores = ClipScores(*clip_columns(clips), errors, tokens, answers, references, deciding, clip_groups(clips))
    return Evaluation(deciding, error_rate(errors, tokens), scores, extra)


def _variant(hypotheses: Sequence[str], references: Sequence[str], form: Callable[[str], str]) -> float:
    return error_rate(*character_errors([form(text) for text in hypotheses], [form(text) for text in references]))


def _edits(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> tuple[IntArray, IntArray]:
    if len(hypotheses) != len(references):
        raise CorpusError(
            f"{len(hypotheses)} hypotheses for {len(references)} references; expected one hypothesis for each reference"
        )
    errors = [Levenshtein.distance(h, r) for h, r in zip(hypotheses, references, strict=True)]
    return np.array(errors, np.int64), np.array([len(r) for r in references], np.int64)
