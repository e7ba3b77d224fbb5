"""Subwords by byte-pair encoding (Sennrich et al. 2016), learned and applied by the package sentencepiece.

A model is the package's own file format, as base64 text: it is data without code, and the same transcripts always give
the same bytes.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Iterable
from typing import Any

from elp_core.errors import ConfigError
from elp_core.languages.language import package_missing

SPACE = "▁"
"""Sentencepiece's sign for a blank; the first word of a sentence begins with it too."""


def learn_subwords(transcripts: Iterable[str], size: int, spaced: bool) -> str:
    """Return a model of `size` pieces, its unknown piece included; fewer if the transcripts have no more.

    Raises:
        ConfigError: sentencepiece is not installed, there are no transcripts, or they have more letters than `size`.
    """
    # sorted: the order of deliveries must not matter; one thread and no sampling: the same bytes each time
    lines = sorted(text for text in transcripts if text)
    if not lines:
        raise ConfigError("units", ["subwords are learned from transcripts, got none; add data first"])
    model = io.BytesIO()
    try:
        _sentencepiece().SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type="bpe",
            vocab_size=size,
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=spaced,
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            num_threads=1,
            input_sentence_size=0,
            shuffle_input_sentence=False,
            max_sentence_length=1 << 20,
            minloglevel=2,
        )
    except RuntimeError as error:
        letters = len(set("".join(lines)))
        fault = f"size is {size}, too small for transcripts with {letters} letters; expected {letters + 2} or more"
        raise ConfigError("units", [fault if size < letters + 2 else f"sentencepiece: {error}"]) from error
    return base64.b64encode(model.getvalue()).decode("ascii")


def pieces_of(model: str) -> tuple[str, ...]:
    """Return the pieces of a model in its order, without the unknown one.

    Raises:
        ConfigError: sentencepiece is not installed, or this is not its model.
    """
    processor = _processor(model)
    return tuple(processor.id_to_piece(place) for place in range(1, processor.get_piece_size()))


def split_into_pieces(model: str, text: str) -> list[str]:
    """Return the pieces that spell `text`; what the model does not know stands as it is, not cut.

    Raises:
        ConfigError: sentencepiece is not installed, or this is not its model.
    """
    found: list[str] = _processor(model).encode(text, out_type=str)
    return found


@functools.lru_cache(maxsize=8)
def _processor(model: str) -> Any:
    try:
        return _sentencepiece().SentencePieceProcessor(model_proto=base64.b64decode(model, validate=True))
    except (RuntimeError, ValueError) as error:  # binascii's error is a ValueError
        fault = f"these bytes are no sentencepiece model ({error}); fetch the bundle again"
        raise ConfigError("units", [fault]) from error


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError as error:
        raise package_missing("sentencepiece", "units of the kind bpe") from error
    return sentencepiece
