"""English that is left on a page in another language, outside of what is a record or a command."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.support.html import Element
from tests.support.template_texts import AS_THEY_ARE, ATTRIBUTES, NAMES

_WORDS = re.compile(r"(?<![\w/.@-])[A-Za-z]{2,}(?:,? (?![a-f]{6,}\b)[A-Za-z]{2,})+")
"""Two words of letters in a row: names of slots, files and versions have other characters, digests are no words."""


def english_texts(page: Element) -> list[str]:
    """What a reader of a Japanese page sees or hears in English without a mark of its language."""
    return [text for element in _spoken(page) for text in _texts(element) if _WORDS.search(text) and text not in NAMES]


def _spoken(element: Element) -> Iterator[Element]:
    """The elements in the page's language; an element with `dir` has a text that a person said or wrote."""
    marks = element.attributes
    if element.tag in (*AS_THEY_ARE, "q") or marks.get("lang") == "en" or "dir" in marks:
        return
    yield element
    for child in element.children:
        yield from _spoken(child)


def _texts(element: Element) -> Iterator[str]:
    yield " ".join(element.own.split())
    for name in ATTRIBUTES:
        yield element.attributes.get(name, "")
