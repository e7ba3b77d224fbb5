"""English texts that remember their message, so that a page can say them in another language.

A command line, JSON and other programs get the English text, which is a plain string. A page gives the same text to
`said_phrase`, which says its message in the reader's language. `phrase` and `phrase_many` are keywords of the
extraction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts

_ENGLISH = re.compile(r"[A-Za-z]{2,}\W* \S*[A-Za-z]{2,}")


class Phrase(str):
    """The English text of a message with its values."""

    message: tuple[str, ...]
    """The message; for a number of things, the form for one and that for many."""
    number: int
    values: Mapping[str, object]


class Recorded(str):
    """An English word or text of a record, which a page marks as English whatever its length."""


def phrase(message: str, /, **values: object) -> Phrase:
    """Return the English text of a message with its named values; a per cent sign is written ``%%``.

    >>> phrase("%(name)s is gone", name="v3") == "v3 is gone"
    True
    """
    made = Phrase(message % values)
    made.message, made.number, made.values = (message,), 0, values
    return made


def phrase_many(one: str, many: str, number: int, /, **values: object) -> Phrase:
    """Return the form of a message for a number of things; the number itself is the value `number`.

    >>> phrase_many("%(number)s clip", "%(number)s clips", 1200) == "1,200 clips"
    True
    """
    values = {"number": f"{number:,}", **values}
    made = Phrase((one if number == 1 else many) % values)
    made.message, made.number, made.values = (one, many), number, values
    return made


def said_phrase(said: Texts, text: Any) -> Any:
    """Return a phrase in the language of a page; another text of several words is a record, and marked as English."""
    if isinstance(text, Recorded):
        return in_english(said, text)
    if not isinstance(text, Phrase):
        return in_english(said, text) if isinstance(text, str) and _ENGLISH.search(text) else text
    values = {name: said_phrase(said, value) for name, value in text.values.items()}
    if len(text.message) == 1:
        found = said.translations.gettext(text.message[0])
    else:
        found = said.translations.ngettext(text.message[0], text.message[1], text.number)
    # values that are marked up stay so, and the others are escaped
    return (Markup(found) if any(isinstance(value, Markup) for value in values.values()) else found) % values
