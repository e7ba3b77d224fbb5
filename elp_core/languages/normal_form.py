"""The normal form of transcripts as data: what is mapped, dropped and rewritten, so that it can be hashed.

Sources: Unicode Standard Annex 15 (normalisation forms), chapter 3.13 of the standard (case folding) and its
SpecialCasing.txt (dotted and dotless i, final sigma), Annex 44 (general categories).
"""

import functools
import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

MARKS = '.,;:!?"…“”„«»¿¡()[]‹›‚‟'
"""Sentence marks of every language."""
_APOSTROPHES = "’‘ʼ´`‛ʹ＇"
_BLANKS = "-–—_/‐‑‒―−\u200b"
"""Hyphens, dashes, underscore, slash and the zero-width space part words."""
_INVISIBLE = "\u00ad\u2060\ufeff\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""The soft hyphen, word joiners and marks of the writing direction."""
_IN_NUMBERS = ".,:"
"""Marks that stay between two digits: 1,000 and 12:30."""
_OUTSIDE_NUMBERS = re.compile(rf"(?<!\d)[{_IN_NUMBERS}]|[{_IN_NUMBERS}](?!\d)")
# 'tis and 'em open no quotation, nor do the Dutch 's and 't
_ELIDED = r"(?:tis|twas|twere|twill|em|cause|til|bout|n|s|t)\b"
_QUOTED = re.compile(rf"(?<!\w)'(?!{_ELIDED})(?=\w)((?:[^']|(?<=\w)'(?=\w))*)'(?!\w)")
_DIGIT = re.compile(r"\d")
_LONE = re.compile(r"'{2,}|(?<!\w)'(?!\w)")
SURROGATES = range(0xD800, 0xE000)
"""Halves of characters, from broken JSON escapes: no file can hold them."""
REPLACEMENT = "\ufffd"
"""What stands for a character that was lost; no language writes it."""
_ROUNDS = 8
"""Most passes until a text no longer changes; two are usual."""


@dataclass(frozen=True)
class NormalForm:
    """The rules of one language. They apply in the order of the fields, until a text no longer changes."""

    form: Literal["NFC", "NFKC"] = "NFC"
    """Unicode normalisation; NFKC also replaces half-width, full-width and presentation forms."""
    fold: Literal["lower", "casefold", "turkish"] = "lower"
    """How capitals become small letters; case folding also makes ss of ß."""
    early: tuple[tuple[str, str], ...] = ()
    """Regular expressions and their replacements, before marks are dropped."""
    dropped: str = ""
    """Characters that leave nothing behind: the letters next to them join (diacritics, the Arabic tatweel)."""
    mapped: tuple[tuple[str, str], ...] = ()
    """Characters and what replaces each, one for one: ("أإآ", "ااا")."""
    marks: str = ""
    """Sentence marks of the script, in addition to `MARKS`; between letters they act as a blank."""
    apostrophes: bool = False
    """Whether the apostrophe is a letter; otherwise it is dropped and the letters next to it join."""
    rewrites: tuple[tuple[str, str], ...] = ()
    """Regular expressions and their replacements."""
    unspaced: str = ""
    """Character class of a script without blanks between words: blanks next to its characters are dropped."""

    def apply(self, text: str) -> str:
        """Return the normal form of `text`, without blanks at its ends."""
        if text.isascii() and not self.rewrites and not self.early:
            return self._pass(text)  # one pass reaches the end: no letter of ASCII folds to more than one letter
        for _ in range(_ROUNDS):
            before, text = text, self._pass(text)
            if text == before:
                break
        return text

    def _pass(self, text: str) -> str:
        if self.form == "NFKC" or not text.isascii():
            text = unicodedata.normalize(self.form, text)
        if self.fold == "turkish":
            text = text.replace("i\u0307", "i").replace("İ", "i").replace("I", "ı")
        text = text.casefold() if self.fold == "casefold" else text.lower()
        for pattern, replacement in self.early:
            text = re.sub(pattern, replacement, text)
        if _DIGIT.search(text):
            text = _OUTSIDE_NUMBERS.sub(" ", text.translate(self._table))
        else:
            text = text.translate(self._wordy)
        if "'" in text and (" '" in text or "' " in text or "''" in text or "'" in (text[0], text[-1])):
            text = _apostrophes_of_words(text)
        for pattern, replacement in self.rewrites:
            text = re.sub(pattern, replacement, text)
        if not text.isascii():
            text = unicodedata.normalize(self.form, text)
        text = " ".join(text.split())
        return re.sub(f"(?<=[{self.unspaced}]) | (?=[{self.unspaced}])", "", text) if self.unspaced else text

    @staticmethod
    def common() -> tuple[str, ...]:
        """Return the rules that all languages share, for the digest of a normaliser."""
        return (MARKS, _APOSTROPHES, _BLANKS, _INVISIBLE, _IN_NUMBERS, _QUOTED.pattern, _LONE.pattern)

    @functools.cached_property
    def _table(self) -> dict[int, str | None]:
        """What `str.translate` replaces; ASCII is complete, because a missing key costs an exception."""
        table: dict[int, str | None] = {code: chr(code) for code in range(128)}
        table |= dict.fromkeys((ord(mark) for mark in MARKS + self.marks + _BLANKS if mark not in _IN_NUMBERS), " ")
        table |= dict.fromkeys(map(ord, _APOSTROPHES + "'"), "'" if self.apostrophes else None)
        table |= dict.fromkeys(map(ord, _INVISIBLE + self.dropped), None)
        table |= dict.fromkeys(SURROGATES, REPLACEMENT)
        return table | {ord(old): new for olds, news in self.mapped for old, new in zip(olds, news, strict=True)}

    @functools.cached_property
    def _wordy(self) -> dict[int, str | None]:
        """What `str.translate` replaces in a text without digits."""
        return {**self._table, **dict.fromkeys(map(ord, _IN_NUMBERS), " ")}


def _apostrophes_of_words(text: str) -> str:
    """Return `text` without the apostrophes that quote or stand alone; those of don't, 'tis and dogs' stay."""
    before = ""
    while before != text:
        before, text = text, _LONE.sub(" ", _QUOTED.sub(r"\1", text))
    return text
