"""The normal form of names: of speakers, labels, conditions and files. Two spellings of one form are one name."""

import functools
import re
import unicodedata

_INVISIBLE = frozenset(
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u2800\u3164\ufeff\uffa0"
    + "".join(
        map(chr, (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFFF9, 0xFFFC)))
    )
)
"""Characters without a glyph that Unicode does not classify as blanks: zero-width spaces, fillers, direction marks."""
_WHOLE_NUMBER = re.compile(r"(-?[1-9][0-9]{0,15}|-?0)\.0")
"""A whole number as a program writes it that keeps a column of numbers with gaps as floats."""


def is_blank(letter: str) -> bool:
    """Return whether a character shows nothing: any blank of Unicode, a control or zero-width character, a filler."""
    return letter.isspace() or letter in _INVISIBLE or unicodedata.category(letter) in ("Cc", "Zs", "Zl", "Zp")


@functools.lru_cache(maxsize=2**14)
def normal_name(text: str) -> str:
    r"""Return the normal form of a name: NFC, without blanks at its ends; a whole number without its ``.0``.

    Blanks inside a name, its case and its width are kept: they may distinguish two persons. Law: idempotent.

    >>> normal_name("\u3000Ju\u0308rgen\u200b")
    'Jürgen'
    >>> normal_name("7.0")
    '7'
    """
    # halves of surrogate pairs stand for bytes that were not UTF-8, and no file can hold them
    composed = unicodedata.normalize("NFC", text.encode("utf-8", "backslashreplace").decode("utf-8"))
    begin, end = 0, len(composed)
    while begin < end and is_blank(composed[begin]):
        begin += 1
    while end > begin and is_blank(composed[end - 1]):
        end -= 1
    name = composed[begin:end]
    number = _WHOLE_NUMBER.fullmatch(name)
    return str(int(number[1])) if number else name
