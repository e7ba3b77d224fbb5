"""Every message of the sources, and the catalogues that must have them.

    python -m tests.support.message_ids

adds new messages to both catalogues, with an empty translation, and removes those that no source has any more.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po

from pipelines.number_text import METRICS, metric_meaning
from pipelines.texts.message_catalogue import LANGUAGES, catalogue_file

PACKAGE = Path(__file__).resolve().parents[2] / "pipelines"
KEYWORDS = {
    "say": None, "gettext": None, "_": None, "say_many": (1, 2), "ngettext": (1, 2), "Term": (2,), "phrase": None,
    "phrase_many": (1, 2),
}  # fmt: skip
"""The second value of a `Term` is its meaning in the glossary."""
TEMPLATES = sorted(PACKAGE.rglob("*.html"))
Message = str | tuple[str, ...]
PLACEHOLDER = re.compile(r"%\((\w+)\)s")


@functools.cache
def source_messages() -> dict[Message, set[str]]:
    """Return each message (one and many for a number of things) with the files that have it."""
    found: dict[Message, set[str]] = {}
    for metric in METRICS:
        found[metric_meaning(metric)] = {"number_text.py"}
    for path, messages in _extracted():
        for message in messages:
            found.setdefault(message, set()).add(path.name)
    return found


def _extracted() -> Iterator[tuple[Path, list[Message]]]:
    options = {"trimmed": "true", "silent": "false", "newstyle_gettext": "true"}
    for path in TEMPLATES:
        rows = extract_from_file("jinja2.ext:babel_extract", path, KEYWORDS, options=options)
        yield path, [_message(row[1]) for row in rows]
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if any(part in text for part in ("Texts", "page_texts", "class Term", "english_phrases")):
            yield path, [_message(row[1]) for row in extract_from_file("python", path, KEYWORDS)]


def _message(found: str | tuple[str, ...] | list[str]) -> Message:
    return found if isinstance(found, str) else tuple(found)


def catalogue(language: str) -> Catalog:
    """Return the catalogue of a language as it is kept."""
    with catalogue_file(language).open("rb") as file:
        return read_po(file, locale=language)


def placeholders(text: str) -> list[str]:
    """Return the names of the values in a message."""
    return sorted(PLACEHOLDER.findall(text))


def update() -> None:
    """Bring both catalogues up to date with the sources."""
    messages = sorted(source_messages(), key=str)
    for language in LANGUAGES:
        file = catalogue_file(language)
        notes = _notes(file.read_text(encoding="utf-8")) if file.exists() else ""
        old = catalogue(language) if file.exists() else Catalog(locale=language)
        made = Catalog(locale=language, header_comment="# Messages of ELP Foundry.", fuzzy=False)
        for message in messages:
            known = old.get(message if isinstance(message, str) else message[0])
            made.add(message, known.string if known else "" if isinstance(message, str) else None)
        with file.open("wb") as target:
            write_po(target, made, width=100, omit_header=True, sort_output=True)
        # a header without dates: the file changes with its messages only
        plural = "nplurals=1; plural=0;" if language == "ja" else "nplurals=2; plural=(n != 1);"
        header = (
            f'msgid ""\nmsgstr ""\n"Language: {language}\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n'
            f'"Plural-Forms: {plural}\\n"\n\n'
        )
        file.write_text(notes + header + file.read_text(encoding="utf-8"), encoding="utf-8")


def _notes(text: str) -> str:
    """What translators wrote at the head of a catalogue."""
    return "".join(takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))


if __name__ == "__main__":
    update()
