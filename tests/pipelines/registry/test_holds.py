from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipelines.errors import UsageError
from pipelines.registry.holds import HeldSubject, holds_in_force, speaker_digest
from pipelines.registry.ledger.entry import Head, read_entry
from pipelines.server.pages.entry_words import entry_words
from pipelines.texts.message_catalogue import texts
from tests.support import proof

LATE = "2027-01-31T23:59:59.999999+00:00"


@pytest.mark.parametrize("text", ["plant-a/asr", "plant-a/asr@v3", "data/plant-a/asr/v12"])
def test_a_subject_reads_as_it_was_written(text: str) -> None:
    assert str(HeldSubject.parse(text)) == text


def test_a_speaker_is_held_by_a_digest_of_every_spelling() -> None:
    held = HeldSubject.parse("speaker: anna ")
    assert held == HeldSubject.parse("speaker:anna") == HeldSubject.parse(str(held))
    assert str(held) == f"speaker:{speaker_digest('anna')}"
    assert "anna" not in str(held)


@pytest.mark.parametrize(
    "text",
    ["", "plant-a", "plant-a/xyz", "plant-a/asr@3", "plant-a/asr@v0", "golden/plant-a/asr/v1", "speaker:", "@v1"],
)
def test_what_is_no_subject_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is nothing to hold|is not a slot|unknown task|needs a name"):
        HeldSubject.parse(text)


@pytest.mark.parametrize(
    ("text", "adapters", "datasets"),
    [
        ("plant-a/asr", {1, 2}, {"data/plant-a/asr/v1", "data/plant-a/asr/v2"}),
        ("plant-a/asr@v2", {2}, set()),
        ("data/plant-a/asr/v2", set(), {"data/plant-a/asr/v2"}),
        ("plant-a/asv", set(), set()),
        ("speaker:anna", set(), set()),
    ],
)
def test_what_a_hold_covers(text: str, adapters: set[int], datasets: set[str]) -> None:
    held, tags = HeldSubject.parse(text), [f"data/plant-a/asr/v{number}" for number in (1, 2)]
    assert {number for number in (1, 2) if held.covers_adapter("plant-a/asr", number)} == adapters
    assert {tag for tag in tags if held.covers_dataset(tag)} == datasets
    # the whole model: whatever of it is held
    assert held.covers_adapter("plant-a/asr", None) == bool(adapters)


def test_a_hold_lasts_until_its_date_or_its_end() -> None:
    head, first = Head(), {"subject": "plant-a/asr", "until": LATE}
    entries = [
        proof.entry(head, event="held", reason="audit", detail=first),
        proof.entry(Head(1, "0" * 64), event="held", reason="audit", detail=first),
        proof.entry(Head(2, "0" * 64), event="hold ended", reason="done", detail={"hold": 1}),
    ]
    before, after = datetime(2027, 1, 31, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)
    assert [hold.number for hold in holds_in_force(entries, before)] == [2]
    assert holds_in_force(entries, after) == []


@pytest.mark.parametrize(
    ("event", "detail", "sentence"),
    [
        ("held", {"subject": "plant-a/asr@v3", "until": LATE}, "ann put a hold on plant-a/asr@v3 until 2027-01-31"),
        ("held", {"subject": "speaker:sha256:" + "0" * 64, "until": LATE}, "ann put a hold on a speaker until 2027-"),
        ("hold ended", {"hold": 7}, "ann ended hold 7"),
        ("deleted", {"policy": "x"}, "ann deleted v1 by the retention policy"),
        ("restored", {}, "ann restored v1"),
        ("data deleted", {"files": {"a": 1, "b": 2}}, "ann deleted 2 data files by the retention policy"),
        ("trash emptied", {"removed": ["a"]}, "ann emptied the trash: 1 item"),
    ],
)
def test_an_entry_reads_as_a_sentence(event: str, detail: dict[str, object], sentence: str) -> None:
    entry = proof.entry(Head(), event=event, detail=detail)
    assert entry_words(texts("en"), entry).startswith(sentence)
    assert read_entry(entry.text) == entry
