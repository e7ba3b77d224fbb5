"""CTC prefix beam search (Graves et al. 2006, section 3.2) with a word n-gram model, by the package ctc-beam-decoder.

The package is optional (the extra ``beam``) and imported when a search is first made. The width of the beam is all that
prunes: with a beam as wide as there are prefixes, and no language model, the answer is the most probable transcript.
"""

from __future__ import annotations

import functools
import gzip
import threading
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.data.text import Alphabet
from elp_core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Search = Callable[["npt.NDArray[np.float32]"], str]
"""Log-probabilities float32 [frames, classes] of one clip to its transcript."""

_RESERVED = "_|▁⁇"
"""Letters that the package takes for a blank, a space or a piece of a word."""
_NEVER = -30.0
"""Log-probability that the package drops."""
_MARKS = ("<s>", "</s>", "<unk>", "<UNK>")


@dataclass(frozen=True)
class DecodeConfig:
    """How letters become a transcript; no part of a bundle, so one adapter may be read in several ways.

    Raises:
        ConfigError: for a value out of its range.
    """

    beam: int = 0
    """Hypotheses kept at each frame by beam search; 0 decodes greedily, without a language model."""
    lm: str | None = None
    """Path of a word n-gram model: ARPA, gzipped ARPA or KenLM binary."""
    lm_weight: float = 0.5
    """Factor of the language model's log-probability."""
    word_bonus: float = 1.5
    """Added to the score for each word, against the model's liking for few of them; only with `lm`."""

    def __post_init__(self) -> None:
        faults = [] if self.beam >= 0 else [f"beam is {self.beam}, expected 0 (greedy) or more"]
        if self.lm is not None and not self.beam:
            faults.append("lm needs beam search: set beam too, such as beam 50")
        if not self.lm_weight >= 0.0:
            faults.append(f"lm_weight is {self.lm_weight}, expected 0 or more")
        if faults:
            raise ConfigError("decode", faults)


def beam_search(alphabet: Alphabet, config: DecodeConfig) -> Search:
    """The search of `config` over `alphabet`; the same log-probabilities always give the same transcript.

    A hypothesis scores ``log p(letters) + lm_weight · log p(words) + word_bonus · words``, sentence ends included; a
    word that the language model does not know has 10⁻¹⁰ of its unknown word's probability, and no words at all score
    nothing. A search is made once for each alphabet and configuration, and kept.

    Raises:
        ConfigError: where ctc-beam-decoder is not installed, the language model is missing, unreadable or has no word
            that the alphabet spells, or the alphabet has letters that the package keeps for itself.
    """
    return _search(alphabet.letters, config, _stamp(config.lm))


@functools.lru_cache(maxsize=8)
def _search(letters: str, config: DecodeConfig, stamp: tuple[int, int]) -> Search:
    del stamp  # a file that was written anew is read anew
    kept = sorted(set(letters) & set(_RESERVED))
    if kept:
        raise ConfigError("decode", [f"beam search cannot write the letters {' '.join(kept)}; set beam to 0"])
    made = _decoder(letters, config)
    alone = threading.Lock()  # the package promises nothing about threads

    def search(log_probabilities: npt.NDArray[np.float32]) -> str:
        if not len(log_probabilities):
            return ""
        # wider than any float32 log-probability: neither a token nor a hypothesis is dropped for its score
        with alone:
            found = made.decode_beams(log_probabilities, config.beam, beam_prune_logp=-1e9, token_min_logp=-1e9)
            texts = {text: letters_score for text, _, _, letters_score, _ in found}
            if config.lm is not None:
                texts = {text: score + _words_score(made, letters, text) for text, score in texts.items()}
        return " ".join(max(texts, key=texts.__getitem__).split())

    return search


def _words_score(decoder: Any, letters: str, text: str) -> float:
    """What the language model and the word bonus add to a finished hypothesis.

    The package charges a hypothesis that ends in a space for one more, unknown word, and remembers that score for the
    same text without the space. Spelled out alone, one letter and one blank to a frame, the text is scored as it is.
    """
    import numpy as np

    if not text:
        return 0.0  # the package would charge an unknown word here too; where none was heard, the sound decides alone
    spelled = np.full((2 * len(text), len(letters) + 1), _NEVER, np.float32)
    spelled[:, 0] = 0.0
    for place, letter in enumerate(text):
        spelled[2 * place, [0, letters.index(letter) + 1]] = _NEVER, 0.0
    _, _, _, letters_score, score = decoder.decode_beams(spelled, 1)[0]
    return float(score - letters_score)


def _decoder(letters: str, config: DecodeConfig) -> Any:
    try:
        from ctc_beam_decoder import BeamSearchDecoder
    except ImportError as error:
        raise ConfigError(
            "decode",
            ["beam search needs the package ctc-beam-decoder: pip install 'elp-foundry[beam]', or set beam to 0"],
        ) from error
    classes = ["", *letters]  # the blank first, as in the head's outputs
    if config.lm is None:
        return BeamSearchDecoder(classes)
    path = Path(config.lm)
    try:
        words = _words(path, letters)
        return BeamSearchDecoder(
            classes, kenlm_model_path=path, unigrams=words, alpha=config.lm_weight, beta=config.word_bonus
        )
    except (OSError, EOFError, zlib.error, ValueError, RuntimeError) as error:
        reason = str(error).strip().rpartition("\n")[2]  # KenLM tells the place in its source first
        raise ConfigError("decode", [f"lm {path} is no n-gram model that KenLM reads: {reason}"]) from error


def _words(path: Path, letters: str) -> list[str] | None:
    """Words of an ARPA file, plain or gzipped; None for a binary one, which tells its words to no reader."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as file:
        if file.readline(16).strip() != b"\\data\\":
            return None
        words = [word for word in _unigrams(file) if word not in _MARKS]
    if not any(set(word) <= set(letters) for word in words):
        shown = ", ".join(words[:3]) or "none"
        raise ConfigError(
            "decode", [f"lm {path}: the alphabet spells none of its {len(words)} words ({shown}); expected such as yes"]
        )
    return words


def _unigrams(file: Iterable[bytes]) -> list[str]:
    words, inside = [], False
    for line in file:
        text = line.decode("utf-8").strip()
        if text.startswith("\\"):
            if inside:
                break
            inside = text == "\\1-grams:"
        elif inside and text:
            fields = text.split()
            if len(fields) < 2:
                raise ValueError(f"the unigram line {text!r} has no word")
            words.append(fields[1])
    return words


def _stamp(lm: str | None) -> tuple[int, int]:
    """Size and time of change of a language model.

    Raises:
        ConfigError: where there is no such file.
    """
    if lm is None:
        return (0, 0)
    if not Path(lm).is_file():
        raise ConfigError("decode", [f"lm {lm} is not there; expected an ARPA or KenLM binary file"])
    found = Path(lm).stat()
    return (found.st_size, found.st_mtime_ns)
