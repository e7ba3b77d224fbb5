from __future__ import annotations

import pytest

from pipelines.errors import UsageError
from pipelines.texts import written_numbers
from pipelines.texts.message_catalogue import LANGUAGES, texts
from tests.support.message_ids import catalogue, placeholders, source_messages


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_has_the_messages_of_the_sources_and_no_others(language: str) -> None:
    kept = {message.id for message in catalogue(language) if message.id}
    said = source_messages()
    assert sorted(said.keys() - kept, key=str) == []
    assert sorted(kept - said.keys(), key=str) == []


def test_every_message_is_translated_with_the_same_values() -> None:
    faults = []
    for message in catalogue("ja"):
        if not message.id:
            continue
        many = (message.id,) if isinstance(message.id, str) else message.id
        said = (message.string,) if isinstance(message.string, str) else message.string
        # the catalogue has one form for every number
        if not said[0] or set(placeholders(said[0])) != set(placeholders(many[-1])) or message.fuzzy:
            faults.append(message.id)
    assert faults == []


def test_a_missing_catalogue_is_refused() -> None:
    with pytest.raises(UsageError, match="'fr' is not a language of the reports; expected one of en, ja"):
        texts("fr")


@pytest.mark.parametrize(
    ("language", "shown"),
    [("en", ["12,345.7", "12.3 %", "unknown", "1.5 h", "2 min", "7.5 GB", "November 29, 2026"]),
     ("ja", ["12,345.7", "12.3 %", "不明", "1.5 時間", "2 分", "7.5 GB", "2026年11月29日"])],
)  # fmt: skip
def test_numbers_are_written_in_the_language(language: str, shown: list[str]) -> None:
    said = texts(language)
    assert shown == [
        written_numbers.written_number(said, 12345.67, 1),
        written_numbers.written_share(said, 0.1234),
        written_numbers.written_share(said, float("nan")),
        written_numbers.written_length(said, 5400),
        written_numbers.written_length(said, 120),
        written_numbers.written_size(said, 7.5e9),
        written_numbers.written_day(said, "2026-11-29T20:00:00+00:00"),
    ]
