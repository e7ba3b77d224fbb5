"""The numbers that a reader of a page sees, and how the tests write a number themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal

from tests.support.html import Element

_NAMES = re.compile(r"[A-Za-z][\w./…-]*", re.ASCII)
"""Names of slots, versions, tags and files: their digits are no numbers."""
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")


def shown_numbers(page: Element) -> set[str]:
    """Return the different numbers in the text of a page, without commands, digests and names."""
    return set(_NUMBER.findall(_NAMES.sub(" ", " ".join(_texts(page.all("body")[0])))))


def _texts(element: Element) -> Iterator[str]:
    if element.tag != "code":
        yield element.own
        for child in element.children:
            yield from _texts(child)


def written(value: float, digits: int = 0) -> str:
    """Return a number with at most so many digits after the point, as both languages write it."""
    rounded = Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    whole, _, rest = f"{rounded:,f}".partition(".")
    return f"{whole}.{rest.rstrip('0')}".rstrip(".")


def people(value: float) -> str:
    """Return a number of errors in a hundred: whole from ten on, with one digit below."""
    return written(value, 0 if value >= 9.95 else 1)


def length(seconds: float) -> str:
    """Return the number of the largest unit of time that fits."""
    return written(next((seconds / unit for unit in (3600, 60) if seconds >= unit), seconds), 1)


def size(octets: float) -> str:
    """Return the number of the largest unit of bytes that fits, 1 MB being a million."""
    return next((written(octets / unit, 1) for unit in (1e12, 1e9, 1e6, 1e3) if octets >= unit), written(octets))
