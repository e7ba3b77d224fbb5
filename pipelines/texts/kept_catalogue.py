"""A gettext catalogue, read from its `.po` file: in a few milliseconds, and without a compiled copy that could differ.

A gate writes its report in every language. Babel's reader needs half a second for that, most of it for its import.
"""

from __future__ import annotations

import gettext
import json
from collections.abc import Mapping
from pathlib import Path

_FORM = "msgstr["


class CatalogueTranslations(gettext.NullTranslations):
    """The forms of each message by its English text. A message without a translation is returned as it is."""

    def __init__(self, forms: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__()
        self.forms = forms

    def gettext(self, message: str) -> str:
        """Return the translation of a message."""
        return self.forms.get(message, (message,))[0]

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        """Return the form for a number: a language has one form for all numbers, or two as English has."""
        found = self.forms.get(msgid1, (msgid1, msgid2))
        return found[0 if n == 1 else -1]


def read_catalogue(path: Path) -> CatalogueTranslations:
    """Return the translations of a `.po` file as `tests/support/message_ids.py` writes it."""
    forms: dict[str, tuple[str, ...]] = {}
    for entry in path.read_text(encoding="utf-8").split("\n\n"):
        parts = _parts(entry)
        texts = tuple(text for name, text in parts.items() if name == "msgstr" or name.startswith(_FORM))
        # the first entry is the header
        if parts.get("msgid") and all(texts):
            forms[parts["msgid"]] = texts
    return CatalogueTranslations(forms)


def _parts(entry: str) -> dict[str, str]:
    """Return the texts of an entry by their keyword; a text can be on several lines."""
    parts: dict[str, str] = {}
    keyword = ""
    for line in entry.splitlines():
        if line.startswith("#"):
            continue
        if not line.startswith('"'):
            keyword, _, line = line.partition(" ")
            parts[keyword] = ""
        # the escapes of gettext are those of JSON
        parts[keyword] += json.loads(line)
    return parts
