"""Digits to words, by the package num2words; what can mean several words is not spelled.

A wrong word in a transcript is worse than a clip less: ordinals, dates, times, years, amounts, units and telephone
numbers are left to people. So are numbers that agree with a noun (ein, une, dos, doscientas, два …), that a counter
reads differently (Korean 세 시, not 삼 시), or that num2words gets wrong. Other numbers are cardinals in the
nominative; of free variants (one hundred, a hundred and) the plain one is taken.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from elp_core.languages.language import Language, package_missing

_MOST_DIGITS = 9
_YEARS = {"en": range(1100, 2100), "ru": range(1000, 2000), "uk": range(1000, 2000)}
_YEARS |= dict.fromkeys(("de", "nl", "sv", "da", "no", "hu"), range(1100, 2000))
"""Numbers that are often said in another way than in full: nineteen eighty-four, тысяча without одна."""
_ORDINAL_POINT = {"de", "cs", "pl", "fi", "da", "no", "hu", "tr"}
"""A full stop after digits makes an ordinal: am 2. Mai."""
_AGREES = {
    **dict.fromkeys(("de", "fr", "it", "sv", "da", "no"), "(?<!1)1"),
    # two hundred to nine hundred have a gender too; sixteen differs between Portugal and Brazil
    "es": "(?<!1)1|[2-9]..(?:...)*",
    "pt": "(?<!1)[12]|[2-9]..(?:...)*|1[4679]",
    **dict.fromkeys(("ru", "uk", "pl", "cs"), "(?<!1)[12]"),
    "ro": "(?<!1)1|2",
    "hu": "2",
}
"""Ends of numbers whose form depends on the noun or the country."""
_BELOW_100 = {"da", "no"}
"""Languages whose hundreds num2words does not write as they are said."""
_POINT_GROUPS = {"de", "es", "it", "pt", "nl", "id", "tr", "da", "ro", "vi"}
_BLANK_GROUPS = {"fr", "pl", "cs", "sv", "fi", "ru", "uk", "hu", "no"}
"""Thousands are parted by a no-break blank; by a common blank they may be two numbers."""
_DECIMALS = {"en", "de", "fr", "it", "pt", "nl", "sv", "da", "no", "fi", "id", "ja", "ko", "th"}
"""Languages whose decimals with one place have one reading."""
_SINO = "년일분초원층호"
"""Korean counters with Sino-Korean numbers; without a counter only numbers from 100 on have one reading."""
_TURKISH = re.compile(
    "sıfır|bir|iki|üç|dört|beş|altmış|altı|yedi|sekiz|dokuz|on|yirmi|otuz|kırk|elli|yetmiş|seksen|doksan|yüz|bin|milyon"
)
"""The words that num2words writes without blanks, as on a cheque."""
_WIDE = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_OPENING = "\"'“”„«‹(¿¡「『（《〈‚‘’"
_CLOSING = "\"'“”»›)!?,;:…」』）》〉。、，！？।’"


@dataclasses.dataclass(frozen=True)
class Spelled:
    """A transcript with digits as words, and what was not understood."""

    text: str
    left: tuple[str, ...]
    """Tokens that still have digits; a clip with any belongs in quarantine."""


def spell_digits(text: str, language: Language) -> Spelled:
    """Return a transcript, not yet normalised, with its numbers as words of the language.

    >>> from elp_core.languages import language
    >>> spell_digits("I paid 1,200 for 3.5 of the 2nd", language("en"))
    Spelled(text='I paid one thousand two hundred for three point five of the 2nd', left=('2nd',))

    Raises:
        ConfigError: num2words is not installed.
    """
    digits = "".join(str(unicodedata.digit(c)) if c.isdecimal() else c for c in text.translate(_WIDE))
    if not any(char in "0123456789" for char in digits):
        return Spelled(text, ())
    if not language.spells:
        return Spelled(text, tuple(re.findall("[0-9]+", digits)))
    left: list[str] = []
    tokens = [
        *re.finditer(r"[^ \t\n]*[0-9][^ \t\n]*" if language.spaced else r"[0-9](?:[0-9.,:/~〜～-]*[0-9])?", digits)
    ]
    pieces, end = [], 0
    for token in tokens:
        words = _token(token, digits, language)
        if words is None:
            left.append(token[0])
        pieces += [digits[end : token.start()], token[0] if words is None else words]
        end = token.end()
    return Spelled("".join([*pieces, digits[end:]]), tuple(left))


def _token(token: re.Match[str], text: str, language: Language) -> str | None:
    """Return the words of a token that contains digits; None if it has no single reading."""
    before, after = text[: token.start()], text[token.end() :]
    if not language.spaced:
        near = before[-1:] + after[:1]
        if re.search(r"[0-9]\s$", before) or re.match(r"\s[0-9]", after):
            return None
        return None if re.search(r"[A-Za-z.,:+\-−~〜～%％¥$€£#/第]", near) else _number(token[0], language.spells)
    core = token[0].lstrip(_OPENING)
    opening, closing = token[0][: len(token[0]) - len(core)], core[len(core.rstrip(_CLOSING + ".")) :]
    core = core.removesuffix(closing) if closing else core
    if "." in closing and language.spells in _ORDINAL_POINT and after.strip():
        return None
    # 12 000 may be one number or two
    if re.fullmatch("[0-9]{1,3}", core) and re.match(r" [0-9]{3}(?![0-9])", after):
        return None
    if re.fullmatch("[0-9]{3}", core) and re.search(r"(?<![0-9])[0-9]{1,3} $", before):
        return None
    suffix = ""
    if language.spells == "ko":
        core, suffix = (core[:-1], core[-1]) if core[-1:] in _SINO else (core, "")
        if not suffix and not (core.isdecimal() and int(core) >= 100):
            return None
    words = _number(core, language.spells)
    return None if words is None else f"{opening}{words}{suffix}{closing}"


def _number(core: str, code: str) -> str | None:
    """Return the cardinal of an integer with or without groups, or of a number with one decimal place."""
    group = r"\." if code in _POINT_GROUPS else "[\u00a0\u202f]" if code in _BLANK_GROUPS else ","
    point = "," if code in _POINT_GROUPS | _BLANK_GROUPS else r"\."
    found = re.fullmatch(rf"([0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+)(?:{point}([0-9]))?", core)
    if found is None:
        return None
    whole, place = re.sub(r"[^0-9]", "", found[1]), found[2]
    if (len(whole) > 1 and whole[0] == "0") or len(whole) > _MOST_DIGITS:
        return None
    if place is not None:
        return _words(f"{whole}.{place}", code) if code in _DECIMALS else None
    number = int(whole)
    year = number in _YEARS.get(code, ()) and (found[1] == whole or code in ("ru", "uk"))
    agrees = code in _AGREES and re.search(f"(?:{_AGREES[code]})$", whole)
    return None if year or agrees or (code in _BELOW_100 and number >= 100) else _words(whole, code)


def _words(number: str, code: str) -> str:
    """Return the words of num2words without its punctuation, and without the `and` of English."""
    spelled = str(_num2words()(int(number) if number.isdecimal() else float(number), lang=code))
    if code == "en":
        spelled = spelled.replace(" and ", " ")
    if code == "sv":
        spelled = spelled.replace("etttusen", "ettusen")
    if code == "tr":
        spelled = " ".join(_TURKISH.findall(spelled))
    return " ".join(spelled.replace(",", "").replace("-", " ").split())


@functools.cache
def _num2words() -> Callable[..., Any]:
    try:
        from num2words import num2words
    except ImportError as error:
        raise package_missing("num2words", "digits: spell") from error
    found: Callable[..., Any] = num2words
    return found
