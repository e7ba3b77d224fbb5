"""A message in the language of the reader, by its English text.

`say` and `say_many` are the keywords of the extraction (`tests/support/message_ids.py`); a test fails for a message
that a catalogue does not have.
"""

from __future__ import annotations

import functools
import gettext
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from markupsafe import Markup

from pipelines.errors import UsageError

Language = Literal["en", "ja"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
NAMES: dict[Language, str] = {"en": "English", "ja": "日本語"}
"""Each language in its own words, for a switch."""
LOCALE = Path(__file__).with_name("locale")
DOMAIN = "elp"


@dataclass(frozen=True)
class Texts:
    """The messages of one language."""

    language: Language
    translations: gettext.NullTranslations

    def say(self, message: str, /, **values: object) -> str:
        """Return a message with its named values; a per cent sign is written ``%%``.

        With a value that is marked up, such as English in a Japanese sentence, the result is marked up, too.

        >>> texts("en").say("%(share)s %% of %(number)s clips", share=3, number="1,200")
        '3 % of 1,200 clips'
        """
        found = self.translations.gettext(message)
        # the other values are escaped then
        return (Markup(found) if any(isinstance(value, Markup) for value in values.values()) else found) % values

    def say_many(self, one: str, many: str, number: int, /, **values: object) -> str:
        """Return the form of a message for a number of things; the number itself is a named value, too.

        >>> texts("en").say_many("%(number)s clip", "%(number)s clips", 2, number="2")
        '2 clips'
        """
        return self.translations.ngettext(one, many, number) % values


@functools.cache
def texts(language: str) -> Texts:
    """Return the messages of a language; raise UsageError for one without a catalogue."""
    if language not in LANGUAGES:
        raise UsageError(f"{language!r} is not a language of the reports; expected one of {', '.join(LANGUAGES)}")
    # read as it is kept: a compiled copy in Git could differ from it
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    compiled = io.BytesIO()
    with catalogue_file(language).open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Texts(language, gettext.GNUTranslations(compiled))


def catalogue_file(language: str) -> Path:
    """Return the path of a language's catalogue."""
    return LOCALE / language / "LC_MESSAGES" / f"{DOMAIN}.po"
