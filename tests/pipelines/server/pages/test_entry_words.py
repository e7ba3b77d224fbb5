"""Every event of the ledger is a sentence of its own, in every language."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from markupsafe import escape

from pipelines.registry.ledger.entry import Event, LedgerEntry, Principal
from pipelines.server.pages.entry_words import entry_words
from pipelines.texts.message_catalogue import LANGUAGES, texts


def _entry(event: Event, before: int | None = 1, after: int | None = 2) -> LedgerEntry:
    return LedgerEntry(
        seq=1, prev="", at="2026-07-01T00:00:00+00:00", event=event, slot="plant-a/asr", before=before, after=after,
        bundle="", principal=Principal("ann", True, ""), reason="", statements=(), detail={"what": "promote"},
    )  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_event_has_its_sentence(language: str) -> None:
    sentences = {event: entry_words(texts(language), _entry(event)) for event in get_args(Event)}
    assert len(set(sentences.values())) == len(sentences)
    assert all(sentence.startswith("ann ") for sentence in sentences.values())


def test_a_refusal_in_another_language_escapes_what_callers_wrote() -> None:
    entry = replace(_entry("refused"), principal=Principal("<i>", True, ""), detail={"what": "<b>"})
    assert str(escape(entry_words(texts("ja"), entry))).count("&lt;") == 2
    assert '<span lang="en">&lt;b&gt;</span>' in entry_words(texts("ja"), entry)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (_entry("promoted", None, 1), "ann made v1 the champion"),
        (_entry("promoted"), "ann made v2 the champion in place of v1"),
        (_entry("rolled back", 2, 1), "ann rolled back from v2 to v1"),
        (_entry("retired", 2, None), "ann retired v2: nothing serves"),
        (_entry("override expired", 2, 1), "ann ended the override of v2: v1 serves again"),
        (_entry("override expired", 2, None), "ann ended the override of v2: nothing serves"),
        (_entry("refused", None, None), "ann was refused: promote"),
        (_entry("deleted", None, None), "ann deleted the slot's model"),
    ],
)
def test_the_sentence_names_the_versions(entry: LedgerEntry, sentence: str) -> None:
    assert entry_words(texts("en"), entry) == sentence
