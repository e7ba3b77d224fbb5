"""Numbers, shares, sizes, dates and lengths of time as the reader's language writes them."""

from __future__ import annotations

import math
from datetime import date

from pipelines.texts.message_catalogue import Texts

_SIZES = ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB"))
_HOUR = 3600


def written_number(texts: Texts, value: float, digits: int = 0) -> str:
    """Return a number with at most so many digits after the decimal point."""
    from babel.numbers import format_decimal

    pattern = "#,##0" + ("." + "#" * digits if digits else "")
    return format_decimal(value, pattern, locale=texts.language)


def rounded(texts: Texts, value: float) -> str:
    """Return a number for people: whole from 10 up, with one digit below."""
    return written_number(texts, value, 0 if abs(value) >= 9.95 else 1)


def written_share(texts: Texts, value: float) -> str:
    """Return a share as a percentage with one digit."""
    if not math.isfinite(value):
        return texts.say("unknown")
    return texts.say("%(number)s %%", number=written_number(texts, 100 * value, 1))


def written_size(texts: Texts, octets: float) -> str:
    """Return a number of bytes, 1 MB being 1,000,000."""
    for power, unit in _SIZES:
        if octets >= 10**power:
            return f"{written_number(texts, octets / 10**power, 1)} {unit}"
    return f"{written_number(texts, octets)} B"


def written_length(texts: Texts, seconds: float) -> str:
    """Return a length of time in hours, minutes or seconds."""
    if seconds >= _HOUR:
        return texts.say("%(number)s h", number=written_number(texts, seconds / _HOUR, 1))
    if seconds >= 60:
        return texts.say("%(number)s min", number=written_number(texts, seconds / 60, 1))
    return texts.say("%(number)s s", number=written_number(texts, seconds, 1))


def written_money(texts: Texts, amount: float, currency: str) -> str:
    """Return an amount of money, whole, with the code of its currency."""
    return f"{written_number(texts, amount)} {currency}"


def written_day(texts: Texts, moment: str | date) -> str:
    """Return the day of a moment (ISO 8601)."""
    from babel.dates import format_date

    value = moment if isinstance(moment, date) else date.fromisoformat(moment[:10])
    return format_date(value, format="long", locale=texts.language)
