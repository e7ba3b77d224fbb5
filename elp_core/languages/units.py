"""Units: what a CTC head writes, in the order of its outputs."""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from elp_core.config import from_dict
from elp_core.languages.language_config import LanguageConfig

ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"
"""Letters of the default units, English; the space separates words."""
BLANK = 0
"""CTC's blank; units count from 1."""

UnitKind = Literal["letters", "characters", "syllables", "jamo", "bpe"]


@dataclass(frozen=True)
class Units:
    """The inventory of one slot in the order of the head's outputs 1 … N; output 0 is CTC's blank.

    Letters, characters and syllables are the code points of NFC (a Hangul syllable is one); jamo are those of NFD
    (Unicode Standard, section 3.12).

    Raises:
        ValueError: There are no symbols, or a symbol occurs twice.
    """

    kind: UnitKind = "letters"
    symbols: tuple[str, ...] = tuple(ALPHABET)

    def __post_init__(self) -> None:
        if len(set(self.symbols)) != len(self.symbols) or not self.symbols:
            raise ValueError(f"units need distinct symbols, got {list(self.symbols)!r}")

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

    def split(self, text: str) -> list[str]:
        """Return the units that spell a normal transcript, with the unknown ones."""
        return list(unicodedata.normalize("NFD", text) if self.kind == "jamo" else text)

    def encode(self, text: str) -> list[int]:
        """Return the class of each unit of a normal transcript.

        Raises:
            ValueError: Characters are not in the inventory; the message names them.
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
        text = " ".join("".join(units).split())
        return unicodedata.normalize("NFC", text) if self.kind == "jamo" else text

    def unknown(self, text: str | Iterable[str]) -> set[str]:
        """Return the characters of normal transcripts that the inventory cannot write."""
        whole = "".join(text)
        return set(self.split(whole)) - set(self.symbols)

    def frames_needed(self, text: str) -> int:
        """Return the fewest frames that can spell `text`: its units, and a blank between two equal ones."""
        units = self.split(text)
        return len(units) + sum(a == b for a, b in itertools.pairwise(units))

    def extend(self, transcripts: Iterable[str]) -> Units:
        """Return the inventory with the new units of normal transcripts appended, sorted; the order is kept."""
        new = sorted(self.unknown(transcripts))
        return Units(self.kind, (*self.symbols, *new)) if new else self

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` returns equal units."""
        return {"kind": self.kind, "symbols": list(self.symbols)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Units:
        """Return the units that `to_json` described.

        Raises:
            ConfigError: A value is missing, unknown or of another type.
        """
        return from_dict(cls, values, "units")


def build_units(config: LanguageConfig, transcripts: Iterable[str]) -> Units:
    """Return the units of a slot's normal training transcripts.

    A language with a closed alphabet begins with the blank between words and its letters, whether they occur or not;
    what else occurs follows, sorted.
    """
    language = config.resolve()
    kind = config.units.kind or language.units
    first = (*(" " if language.spaced else ""), *language.letters)
    if config == LanguageConfig():
        first = tuple(ALPHABET)
    counts = Counter(itertools.chain.from_iterable(Units(kind, (" ",)).split(text) for text in transcripts))
    new = sorted(counts.keys() - set(first))
    return Units(kind, (*first, *new))


def rare_characters(config: LanguageConfig, transcripts: Iterable[str]) -> dict[str, int]:
    """Return the letters that occur less often than `min_count` in normal training transcripts, with their counts."""
    counts = Counter(itertools.chain.from_iterable(transcripts))
    closed = set(config.resolve().letters)
    return {char: count for char, count in sorted(counts.items()) if count < config.min_count and char not in closed}
