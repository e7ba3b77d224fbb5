"""The words of a normal transcript for its alignment with a recording: their units, and where it may be cut."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from elp_core.languages import LanguageConfig, Units

UNKNOWN = -1
"""In place of a class: the inventory does not write this unit."""
_CONTEXT = 24
"""Characters on each side of a cut that are normalised again, to see whether the cut changes them."""
_END = re.compile(r"(?<=[.!?…])(?=[\s\"'”’»)]|$)|(?<=[。！？।؟])")
"""Places after which a sentence has ended; a full stop inside a number or an abbreviation such as e.g. is none."""
_SMALL_KANA = "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ"
_THAI_BEFORE, _THAI_AFTER = "เแโใไ", "ะาำ"
"""Thai vowels that are written before, or after, the consonant that they belong to."""


@dataclass(frozen=True)
class TranscriptWord:
    """A word of a transcript, or a character of a script without spaces."""

    begin: int
    """Place of its first character in the normal transcript."""
    end: int
    """Place after its last character."""
    classes: tuple[int, ...]
    """Classes of the units that spell it; `UNKNOWN` for a unit that the inventory does not have."""
    ends_sentence: bool = False


@dataclass(frozen=True)
class TranscriptWords:
    """A transcript in its normal form as words. Law: the words, with the blanks between them, are the text."""

    text: str
    words: tuple[TranscriptWord, ...]
    normalise: Callable[[str], str]

    def between(self, first: int, after: int) -> str:
        """Return the text of the words `first` … `after` - 1; empty if there are none."""
        return self.text[self.words[first].begin : self.words[after - 1].end] if after > first else ""

    def may_cut(self, place: int) -> bool:
        """Return whether the text may be cut before the word at `place`: both sides are normal transcripts then."""
        if not 0 < place < len(self.words):
            return True
        end, begin = self.words[place - 1].end, self.words[place].begin
        before, after = self.text[max(0, end - _CONTEXT) : end], self.text[begin : begin + _CONTEXT]
        # the outer ends of both parts are not in question: they are cut back to whole words, or to a character
        before = before[before.find(" ") + 1 :] if end > _CONTEXT else before
        after = after[: after.rfind(" ")] if begin + _CONTEXT < len(self.text) and " " in after else after
        return self.normalise(before) == before and self.normalise(after) == after


def transcript_words(raw: str, config: LanguageConfig, units: Units) -> TranscriptWords:
    """Return the words of a delivered transcript in the normal form of its language.

    In a script without spaces, a character is a word, and a run of Latin letters or digits is one; vowel signs, small
    kana and other marks stay with the character that they belong to.

    Args:
        raw: The transcript as written; its sentence marks are not in the normal form.
        config: The language of the transcripts.
        units: What the head writes, in the order of its classes 1 … N.

    Raises:
        ConfigError: A package of the language is not installed.
    """
    text = config.transcript(raw)
    spaced = config.resolve().spaced
    spans = [(found.start(), found.end()) for found in re.finditer(r"\S+", text)]
    if not spaced:
        spans = [part for begin, end in spans for part in _characters(text, begin, end)]
    classes = {symbol: place for place, symbol in enumerate(units.symbols, start=1)}
    ends = _sentence_ends(raw, text, config)
    words = []
    for begin, end in spans:
        spelled = tuple(classes.get(unit, UNKNOWN) for unit in units.split(text[begin:end]))
        words.append(TranscriptWord(begin, end, spelled, end in ends))
    # a word without a unit could not be placed; the blank is between words, so every word has one
    assert all(word.classes for word in words)
    return TranscriptWords(text, tuple(words), config.transcript)


def _characters(text: str, begin: int, end: int) -> list[tuple[int, int]]:
    """Return the parts of a run without blanks that are not cut."""
    cuts = [place for place in range(begin + 1, end) if _parts(text[place - 1], text[place])]
    return list(zip([begin, *cuts], [*cuts, end], strict=True))


def _parts(before: str, after: str) -> bool:
    """Return whether a script without spaces may be cut between two characters."""
    if unicodedata.category(after)[0] == "M" or unicodedata.category(after) == "Lm" or after in _SMALL_KANA:
        return False
    if before in _THAI_BEFORE or after in _THAI_AFTER:
        return False
    return not (_in_latin(before) and _in_latin(after))


def _in_latin(char: str) -> bool:
    """Return whether a character is part of a word that is written with letters, or of a number."""
    return char in ".,:'" or unicodedata.category(char) in ("Ll", "Lu", "Nd", "No")


def _sentence_ends(raw: str, text: str, config: LanguageConfig) -> frozenset[int]:
    """Return the places in the normal `text` after which a sentence ends; none if they cannot be found for certain."""
    parts = [config.transcript(part) for part in _END.split(raw)]
    separator = " " if config.resolve().spaced else ""
    whole, ends = "", set()
    for part in filter(None, parts):
        whole += (separator if whole else "") + part
        ends.add(len(whole))
    # a quotation or a number over two sentences has another normal form than its parts: the marks are not used then
    return frozenset(ends) if whole == text else frozenset()
