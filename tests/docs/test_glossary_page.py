"""The glossary of the documentation and that of the console explain a word by the same text."""

from __future__ import annotations

import re

from pipelines.server.pages.glossary import GLOSSARY
from tests.docs.pages import ROOT


def test_words_of_both_glossaries_begin_with_one_text() -> None:
    page = (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")
    rows = {word.strip("*"): meaning for word, meaning in re.findall(r"^\| (.+?) \| (.+) \|$", page, re.MULTILINE)}
    console = {term.word: term.meaning for terms in GLOSSARY.values() for term in terms}
    assert {
        "slot",
        "backbone",
        "golden set",
        "gate",
        "verdict",
        "champion",
        "challenger",
    } <= rows.keys() & console.keys()
    differing = {word for word in rows.keys() & console.keys() if not rows[word].startswith(console[word])}
    assert differing == set()
