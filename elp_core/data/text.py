"""Transcripts: one normal form, and the letters of CTC."""

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
    """Return a transcript as it is stored, trained on and scored: NFC, case folded, no sentence marks, single spaces.

    Law: idempotent. Digits and letters outside the alphabet are kept; `Alphabet.unknown` finds them.

    >>> normalise("  Well-known:  DON’T stop! ")
    "well known don't stop"
    """
    # case folding can undo NFC, so it is applied again at the end
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
        """Return the outputs of a head: the letters and the blank."""
        return len(self.letters) + 1

    def encode(self, text: str) -> list[int]:
        """Return the class of each letter.

        Raises:
            ValueError: Letters are not in the alphabet; the message names them.
        """
        unknown = self.unknown(text)
        if unknown:
            raise ValueError(f"{text!r} has characters outside the alphabet: {' '.join(sorted(unknown))}")
        return [self.letters.index(letter) + 1 for letter in text]

    def decode(self, classes: Sequence[int]) -> str:
        """Decode a frame-wise path by CTC's rule: merge repeats, then drop blanks (Graves et al. 2006, section 3.1)."""
        kept = [now for before, now in zip([BLANK, *classes], classes, strict=False) if now not in (BLANK, before)]
        return " ".join("".join(self.letters[index - 1] for index in kept).split())

    def unknown(self, text: str | Iterable[str]) -> set[str]:
        """Return the characters of `text` that are not in the alphabet."""
        return set("".join(text)) - set(self.letters)

    def frames_needed(self, text: str) -> int:
        """Return the fewest frames that can spell `text`: its letters, and a blank between two equal letters."""
        return len(text) + sum(a == b for a, b in itertools.pairwise(text))
