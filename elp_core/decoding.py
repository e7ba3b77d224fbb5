"""CTC prefix beam search (Graves et al. 2006, section 3.2) with an n-gram model, by the package ctc-beam-decoder.

The package is optional (the extra ``beam``) and imported when a search is first made. Only the beam's width prunes:
with a beam as wide as the number of prefixes, and no language model, the answer is the most probable transcript.
"""

from __future__ import annotations

import functools
import gzip
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from elp_core._ranges import Checked, within
from elp_core.beam_labels import beam_labels, hotword_labels, spelling, written
from elp_core.errors import ConfigError
from elp_core.languages import Units

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Search = Callable[["npt.NDArray[np.float32]"], str]
"""Log-probabilities float32 [frames, classes] of one clip to its transcript."""

HOTWORD_WEIGHT = 16.0
"""A hotword wins if its letters have e⁻¹⁶ of the probability of the best ones, or more."""
_RESERVED = "_|▁⁇"
"""Letters that the package uses for a blank, a space or a piece of a word."""
_NEVER = -30.0
"""Log-probability that the package drops."""
_MARKS = ("<s>", "</s>", "<unk>", "<UNK>")


@dataclass(frozen=True)
class DecodeConfig(Checked):
    """How letters become a transcript; not part of a bundle, so one adapter can be decoded in several ways."""

    title: ClassVar[str] = "decode"
    beam: int = within(0, 0)
    """Hypotheses kept at each frame by beam search; 0 decodes greedily, without a language model."""
    lm: str | None = None
    """Path of an n-gram model of words, of characters for scripts without spaces: ARPA, gzipped or KenLM binary."""
    lm_weight: float = within(0.5, 0)
    """Factor of the language model's log-probability."""
    word_bonus: float = 1.5
    """Added to the score for each word, because a language model prefers few words; only with `lm`."""
    hotwords: tuple[str, ...] = ()
    """Words to prefer, such as names that the training data does not have; they need beam search."""
    hotword_weight: float = within(HOTWORD_WEIGHT, 0)
    """Added to the score for each hotword, and for the beginning of one its share."""

    def other_faults(self) -> list[str]:
        """Return the faults of a language model or of hotwords without beam search, and of an empty hotword."""
        needs = [name for name, given in (("lm", self.lm is not None), ("hotwords", self.hotwords)) if given]
        faults = [f"{name} needs beam search: set beam too, such as beam 50" for name in needs if not self.beam]
        return faults + (["a hotword is empty"] if any(not word.strip() for word in self.hotwords) else [])


def beam_search(units: Units, config: DecodeConfig) -> Search:
    """Return the search of `config` over `units`; the same log-probabilities always give the same transcript.

    A hypothesis scores ``log p(letters) + lm_weight · log p(words) + word_bonus · words + hotword_weight · hotwords``,
    sentence ends included. A word that the language model does not know has 10⁻¹⁰ of its unknown word's probability;
    no words score 0. A search is made once for each alphabet and configuration.

    Raises:
        ConfigError: ctc-beam-decoder is not installed; the language model is missing, unreadable or has no word that
            the alphabet can spell; the alphabet has letters that the package reserves; or a hotword has letters that
            the alphabet does not have, or the alphabet has no space.
    """
    foreign = sorted({word for word in config.hotwords if units.unknown(word)})
    if foreign:
        raise ConfigError(
            "decode",
            [f"the alphabet cannot spell the hotword {word!r}; write it as in transcripts" for word in foreign],
        )
    if config.hotwords and (units.kind == "characters" or not units.spaced):
        raise ConfigError("decode", ["hotwords need words with spaces between them; this alphabet has no space"])
    return _search(units, config, _stamp(config.lm))


@functools.lru_cache(maxsize=8)
def _search(units: Units, config: DecodeConfig, stamp: tuple[int, int]) -> Search:
    del stamp  # part of the cache's key: a changed file is read again
    kept = [] if units.kind == "bpe" else sorted(set(units.symbols) & set(_RESERVED))
    if kept:
        raise ConfigError("decode", [f"beam search cannot write the letters {' '.join(kept)}; set beam to 0"])
    if config.lm is not None and units.kind == "bpe" and not units.spaced:
        raise ConfigError("decode", ["lm needs words or characters; these subwords have neither: leave lm out"])
    made = _decoder(units, config)
    # the package, too, takes the words of an expression one by one
    hotwords = sorted({word for expression in config.hotwords for word in hotword_labels(units, expression)})
    lock = threading.Lock()  # the package does not promise to be thread-safe

    def search(log_probabilities: npt.NDArray[np.float32]) -> str:
        if not len(log_probabilities):
            return ""
        # below any float32 log-probability: no token and no hypothesis is dropped because of its score
        with lock:
            found = made.decode_beams(
                log_probabilities,
                config.beam,
                beam_prune_logp=-1e9,
                token_min_logp=-1e9,
                hotwords=hotwords,
                hotword_weight=config.hotword_weight,
            )
            texts = {text: score + _bonus(text, hotwords, config) for text, _, _, score, _ in found}
            if config.lm is not None:
                texts = {text: score + _words_score(made, units, text) for text, score in texts.items()}
        return written(units, max(texts, key=texts.__getitem__))

    return search


def _bonus(text: str, hotwords: Sequence[str], config: DecodeConfig) -> float:
    """Return what whole hotwords add to a finished hypothesis; the package adds a part for an unfinished one too."""
    return config.hotword_weight * sum(word in hotwords for word in text.split()) if hotwords else 0.0


def _words_score(decoder: Any, units: Units, text: str) -> float:
    """Return what the language model and the word bonus add to a finished hypothesis.

    The package counts one more, unknown word for a hypothesis that ends in a space, and caches that score for the same
    text without the space. Spelled alone, with a frame for each unit and each blank, the text gets its own score.
    """
    import numpy as np

    if not text:
        return 0.0  # the package would count an unknown word here too
    labels, spelled = beam_labels(units), spelling(units, text)
    frames = np.full((2 * len(spelled), len(units)), _NEVER, np.float32)
    frames[:, 0] = 0.0
    for place, label in enumerate(spelled):
        frames[2 * place, [0, labels.index(label) + 1]] = _NEVER, 0.0
    _, _, _, letters_score, score = decoder.decode_beams(frames, 1)[0]
    return float(score - letters_score)


def _decoder(units: Units, config: DecodeConfig) -> Any:
    try:
        from ctc_beam_decoder import BeamSearchDecoder
    except ImportError as error:
        raise ConfigError(
            "decode",
            ["beam search needs the package ctc-beam-decoder: pip install 'elp-foundry[beam]', or set beam to 0"],
        ) from error
    classes = ["", *beam_labels(units)]  # the blank first, as in the head's outputs
    if config.lm is None:
        return BeamSearchDecoder(classes)
    path = Path(config.lm)
    try:
        words = _words(path, "".join(beam_labels(units)))
        return BeamSearchDecoder(
            classes, kenlm_model_path=path, unigrams=words, alpha=config.lm_weight, beta=config.word_bonus
        )
    except (OSError, EOFError, zlib.error, ValueError, RuntimeError) as error:
        reason = str(error).strip().rpartition("\n")[2]  # KenLM's first lines name places in its source
        raise ConfigError("decode", [f"KenLM cannot read lm {path} as an n-gram model: {reason}"]) from error


def _words(path: Path, letters: str) -> list[str] | None:
    """Return the words of an ARPA file, plain or gzipped; None for a binary one, whose words cannot be listed."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as file:
        if file.readline(16).strip() != b"\\data\\":
            return None
        words = [word for word in _unigrams(file) if word not in _MARKS]
    if not any(set(word) <= set(letters) for word in words):
        shown = ", ".join(words[:3]) or "none"
        raise ConfigError(
            "decode",
            [f"lm {path}: the alphabet cannot spell any of its {len(words)} words ({shown}); expected such as yes"],
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
    """Return size and time of change of a language model."""
    if lm is None:
        return (0, 0)
    if not Path(lm).is_file():
        raise ConfigError("decode", [f"lm {lm} does not exist; expected an ARPA or KenLM binary file"])
    found = Path(lm).stat()
    return (found.st_size, found.st_mtime_ns)
