"""Units: what a CTC head writes, in the order of its outputs."""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elp_core.config import from_dict
from elp_core.languages.language import UnitKind
from elp_core.languages.language_config import LanguageConfig
from elp_core.languages.subwords import SPACE, learn_subwords, pieces_of, split_into_pieces

ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"
"""Letters of the default units, English; the space separates words."""
BLANK = 0
"""CTC's blank; units count from 1."""


@dataclass(frozen=True)
class Units:
    """The inventory of one slot in the order of the head's outputs 1 … N; output 0 is CTC's blank.

    Letters, characters and syllables are the code points of NFC (a Hangul syllable is one); jamo are those of NFD
    (Unicode Standard, section 3.12); the units of ``bpe`` are the pieces of a sentencepiece model, and single
    characters that were appended later.

    Raises:
        ValueError: There are no symbols, a symbol is empty or occurs twice, or ``bpe`` comes without its model.
    """

    kind: UnitKind = "letters"
    symbols: tuple[str, ...] = tuple(ALPHABET)
    model: str = ""
    """The sentencepiece model of ``bpe`` in base64; empty for the other kinds."""

    def __post_init__(self) -> None:
        if len(set(self.symbols)) != len(self.symbols) or not self.symbols or "" in self.symbols:
            raise ValueError(f"units need distinct symbols, got {list(self.symbols)!r}")
        if (self.kind == "bpe") != bool(self.model):
            raise ValueError("units of the kind bpe need their model, and others have none")

    def __len__(self) -> int:
        """Return the outputs of a head: the units and the blank."""
        return len(self.symbols) + 1

    @classmethod
    def of_letters(cls, letters: str) -> Units:
        """Return one unit for each letter, in their order."""
        return cls("letters", tuple(letters))

    @functools.cached_property
    def _classes(self) -> Mapping[str, int]:
        return {symbol: place for place, symbol in enumerate(self.symbols, start=1)}

    @functools.cached_property
    def spaced(self) -> bool:
        """Whether a unit writes the blank between words; if none does, blanks are not written."""
        return any(unit.startswith(SPACE) for unit in self.symbols) if self.kind == "bpe" else " " in self._classes

    def split(self, text: str) -> list[str]:
        """Return the units that spell a normal transcript, with the characters that no unit writes.

        Raises:
            ConfigError: The units are subwords, and sentencepiece is not installed or its model is damaged.
        """
        if not self.spaced:
            text = text.replace(" ", "")
        if self.kind == "jamo":
            return list(unicodedata.normalize("NFD", text))
        return self._pieces(text) if self.kind == "bpe" else list(text)

    def _pieces(self, text: str) -> list[str]:
        """Return the pieces of a text; the start of a word and its first letter are one unit (`build_units`)."""
        found, start = [], ""
        for piece in split_into_pieces(self.model, text):
            if piece == SPACE:
                start = SPACE
                continue
            unit, start = start + piece, ""
            if unit in self._classes:
                found.append(unit)
            elif unit.startswith(SPACE):
                found += [unit[:2], *unit[2:]]
            else:
                found += unit
        return found

    def encode(self, text: str) -> list[int]:
        """Return the class of each unit of a normal transcript.

        Raises:
            ValueError: Characters are not in the inventory; the message names them.
            ConfigError: As `split`.
        """
        classes = self._classes
        try:
            return [classes[unit] for unit in self.split(text)]
        except KeyError:
            unknown = " ".join(sorted(self.unknown(text)))
            raise ValueError(f"{text!r} has characters outside the alphabet: {unknown}") from None

    def decode(self, classes: Sequence[int]) -> str:
        """Decode a frame-wise path by CTC's rule: merge repeats, then drop blanks (Graves et al. 2006, section 3.1)."""
        kept = [now for before, now in zip([BLANK, *classes], classes, strict=False) if now not in (BLANK, before)]
        return self.join(self.symbols[place - 1] for place in kept)

    def join(self, units: Iterable[str]) -> str:
        """Return the text that units spell, with single blanks."""
        text = "".join(units)
        if self.kind == "bpe":
            text = text.replace(SPACE, " ")
        text = " ".join(text.split())
        return unicodedata.normalize("NFC", text) if self.kind == "jamo" else text

    def unknown(self, text: str | Iterable[str]) -> set[str]:
        """Return the characters of normal transcripts that the inventory cannot write."""
        whole = "".join(text)
        found = set(unicodedata.normalize("NFD", whole) if self.kind == "jamo" else whole) - self._classes.keys()
        return found - {" "} if self.kind == "bpe" or not self.spaced else found

    def frames_needed(self, text: str) -> int:
        """Return the fewest frames that can spell `text`: its units, and a blank between two equal ones.

        Raises:
            ConfigError: As `split`.
        """
        units = self.split(text)
        return len(units) + sum(a == b for a, b in itertools.pairwise(units))

    def extend(self, transcripts: Iterable[str]) -> Units:
        """Return the inventory with the new characters of normal transcripts appended, sorted; the order is kept."""
        new = sorted(self.unknown(transcripts))
        if self.kind == "bpe" and self.spaced:
            new = [unit for char in new for unit in (char, SPACE + char)]
        return Units(self.kind, (*self.symbols, *new), self.model) if new else self

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` returns equal units."""
        values = {"kind": self.kind, "symbols": list(self.symbols)}
        return {**values, "model": self.model} if self.model else values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Units:
        """Return the units that `to_json` described.

        Raises:
            ConfigError: A value is missing, unknown or of another type.
            ValueError: As the class.
        """
        return from_dict(cls, values, "units")


def build_units(config: LanguageConfig, transcripts: Iterable[str]) -> Units:
    """Return the units of a slot's normal training transcripts.

    A language with a closed alphabet begins with the blank between words and its letters, whether they occur or not;
    what else occurs follows, sorted. Subwords are learned from the transcripts.

    Raises:
        ConfigError: Subwords are asked for, and sentencepiece is not installed or cannot learn them.
    """
    language = config.resolve()
    kind = config.unit_kind
    if kind == "bpe":
        model = learn_subwords(transcripts, config.units.size, language.spaced)
        pieces = [piece for piece in pieces_of(model) if piece != SPACE]
        # beam search needs a unit for each letter that may begin a word, in place of one that writes the blank alone
        starts = [SPACE + piece for piece in pieces if len(piece) == 1] if SPACE in pieces_of(model) else []
        return Units("bpe", tuple(dict.fromkeys([*pieces, *starts])), model)
    letters = ALPHABET if config == LanguageConfig() else (" " if language.spaced else "") + language.letters
    first = tuple(dict.fromkeys(unicodedata.normalize("NFD", letters) if kind == "jamo" else letters))
    occurring = {char for text in transcripts for char in text}
    whole = "".join(sorted(occurring))
    new = sorted({*(unicodedata.normalize("NFD", whole) if kind == "jamo" else whole)} - {*first})
    return Units(kind, (*first, *new))


def units_text(size: int, kind: str) -> str:
    """Return a number of units and what they are, for people.

    >>> units_text(31, "characters"), units_text(60, "bpe"), units_text(1, "letters")
    ('31 characters', '60 subwords (bpe)', '1 letter')
    """
    name = {"bpe": "subwords (bpe)", "jamo": "jamo"}.get(kind, kind)
    return f"{size} {name if size != 1 else name.replace('s (', ' (').removesuffix('s')}"


def rare_characters(config: LanguageConfig, transcripts: Iterable[str]) -> dict[str, int]:
    """Return the letters that occur less often than `min_count` in normal training transcripts, with their counts.

    The letters of a closed alphabet are never rare.
    """
    counts = Counter(itertools.chain.from_iterable(transcripts))
    closed = {" ", *config.resolve().letters}
    return {char: count for char, count in sorted(counts.items()) if count < config.min_count and char not in closed}
