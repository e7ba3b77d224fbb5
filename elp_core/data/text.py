"""Transcripts: one normal form, and the letters that CTC reads and writes."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"
"""Letters of the default alphabet; the space separates words."""

BLANK = 0
"""CTC's blank; letters count from 1."""

_DROPPED = dict.fromkeys(map(ord, '.,;:!?"…“”„«»¿¡()[]'), None)
_REPLACED = {ord(mark): "'" for mark in "’‘ʼ´`"} | {ord(dash): " " for dash in "-–—_/"}


def normalise(text: str) -> str:
    """Transcript in the form that is stored, trained on and scored: NFC, case folded, no sentence marks, single spaces.

    Law: idempotent. Digits and letters outside the alphabet stay as they are, for `Alphabet.unknown` to find.

    >>> normalise("  Well-known:  DON’T stop! ")
    "well known don't stop"
    """
    folded = unicodedata.normalize("NFC", text).casefold().translate(_DROPPED).translate(_REPLACED)
    return " ".join(unicodedata.normalize("NFC", folded).split())


@dataclass(frozen=True)
class Alphabet:
    """Letters in the order of the head's outputs 1 … N; output 0 is CTC's blank."""

    letters: str = ALPHABET

    def __post_init__(self) -> None:
        if len(set(self.letters)) != len(self.letters) or not self.letters:
            raise ValueError(f"an alphabet needs distinct letters, got {self.letters!r}")

    def __len__(self) -> int:
        """Outputs of a head: the letters and the blank."""
        return len(self.letters) + 1

    def encode(self, text: str) -> list[int]:
        """Class of each letter.

        Raises:
            ValueError: naming the letters that are not in the alphabet.
        """
        unknown = self.unknown(text)
        if unknown:
            raise ValueError(f"{text!r} has characters outside the alphabet: {' '.join(sorted(unknown))}")
        return [self.letters.index(letter) + 1 for letter in text]

    def decode(self, classes: Sequence[int]) -> str:
        """Text of a frame-wise path by CTC's rule: repeats merge, then blanks go (Graves et al. 2006, section 3.1)."""
        kept = [now for before, now in zip([BLANK, *classes], classes, strict=False) if now not in (BLANK, before)]
        return " ".join("".join(self.letters[index - 1] for index in kept).split())

    def unknown(self, text: str | Iterable[str]) -> set[str]:
        """Characters of `text` that the alphabet lacks."""
        return set("".join(text)) - set(self.letters)

    def frames_needed(self, text: str) -> int:
        """Fewest frames that can spell `text`: its letters, and a blank between equal neighbours."""
        return len(text) + sum(a == b for a, b in itertools.pairwise(text))
