"""What was trained on a person or a recording; if the index cannot compute it, the answer says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from pipelines.audit.data_index import opened
from pipelines.audit.trained_on import TrainedOn, find_trained_on
from pipelines.datasets.subject import Subject
from pipelines.errors import UsageError
from pipelines.registry.lineage import ids_digest
from pipelines.registry.registered_adapter import RegisteredAdapter
from tests.support.audited import ASR, ASV, Ground
from tests.support.proof import ring
from tests.support.records import Recorded


def _adapters(found: TrainedOn) -> dict[tuple[str, int], tuple[int, str, bool]]:
    return {(one.slot, one.version): (one.clips, one.status, one.certain) for one in found.adapters}


@pytest.mark.integration
@pytest.mark.parametrize("speaker", ["ann", "cat"])
def test_adapters_are_trained_on_training_and_validation_clips(ground: Ground, index: Connection, speaker: str) -> None:
    found = find_trained_on(index, ground.records, Subject(speaker=speaker))
    assert _adapters(found) == {
        ("plant-a/asr", 1): (8, "was champion", True),
        ("plant-a/asr", 2): (12, "champion", True),
        ("plant-a/asr", 3): (12, "never champion", True),
        ("plant-b/asv", 1): (8, "champion", True),
    }
    assert [(one.slot, one.version) for one in found.champions] == [("plant-a/asr", 2), ("plant-b/asv", 1)]
    assert (found.clips, found.speakers, found.unknown) == (12, (speaker,), ())


@pytest.mark.integration
def test_adapters_are_not_trained_on_a_test_speaker(ground: Ground, index: Connection) -> None:
    found = find_trained_on(index, ground.records, Subject(speaker="eve"))
    assert found.adapters == ()
    assert {(one.tag, one.clips, one.learnable) for one in found.holdings} == {
        ("data/plant-a/asr/v1", 8, 0),
        ("data/plant-a/asr/v2", 12, 0),
        ("data/plant-b/asv/v1", 8, 0),
        ("golden/plant-a/asr/v1", 8, 0),
        ("golden/plant-b/asv/v1", 8, 0),
    }


@pytest.mark.integration
def test_a_clip_is_found_by_its_first_digits_with_its_speaker(ground: Ground, index: Connection) -> None:
    row = index.execute("SELECT id FROM clip WHERE speaker = 'ben' AND split = 'train' ORDER BY id").fetchone()
    found = find_trained_on(index, ground.records, Subject(clip=row[0].hex()[:10].upper()))
    assert (found.clips, found.speakers) == (1, ("ben",))
    assert {one.clips for one in found.adapters} == {1}


@pytest.mark.integration
def test_the_question_can_be_limited_to_one_slot(ground: Ground, index: Connection) -> None:
    assert set(_adapters(find_trained_on(index, ground.records, Subject(speaker="ann"), ASV))) == {("plant-b/asv", 1)}
    assert {one.slot for one in find_trained_on(index, ground.records, Subject(speaker="eve"), ASR).holdings} == {
        "plant-a/asr"
    }


@pytest.mark.integration
def test_an_unknown_speaker_is_found_nowhere(ground: Ground, index: Connection) -> None:
    found = find_trained_on(index, ground.records, Subject(speaker="nobody"))
    assert (found.clips, found.holdings, found.adapters, found.unknown) == (0, (), (), ())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "one of --speaker ID and --clip ID"),
        ({"speaker": "a", "clip": "12345678"}, "one of --speaker ID and --clip ID"),
        ({"clip": "1234567"}, "8 to 64 hexadecimal digits"),
        ({"clip": "zzzzzzzz"}, "8 to 64 hexadecimal digits"),
    ],
)
def test_a_wrong_question_is_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Subject(**values)


ANN, BEN, PINNED = ("1" * 64, "2" * 64, "3" * 64)


class OneAdapter(Recorded):
    """The records of a server with one adapter."""

    adapter: RegisteredAdapter

    def adapters(self, slot: str = "", fingerprint: str = "") -> list[RegisteredAdapter]:
        return [self.adapter]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Connection]:
    """One dataset version with three training clips, of which a golden set holds the third."""
    with opened(tmp_path) as made:
        made.executemany(
            "INSERT INTO release VALUES (?, ?, ?, ?, ?, ?, '', '')",
            [
                ("a/asr", "data", 1, "data/a/asr/v1", "c1", "golden/a/asr/v1"),
                ("a/asr", "golden", 1, "golden/a/asr/v1", "c1", ""),
            ],
        )
        made.executemany("INSERT INTO file VALUES (?, ?, ?, 0)", [(1, "m1", "one"), (2, "m2", "two")])
        made.executemany("INSERT INTO span VALUES ('a/asr', ?, ?, 1, 1)", [("shards", 1), ("golden", 2)])
        clips = [(1, ANN, "ann"), (1, BEN, "ben"), (1, PINNED, "ann"), (2, PINNED, "ann")]
        rows = [(file, bytes.fromhex(clip), speaker, "train", 1.0) for file, clip, speaker in clips]
        made.executemany("INSERT INTO clip VALUES (?, ?, ?, ?, ?)", rows)
        yield made


@pytest.fixture
def records(tmp_path: Path) -> OneAdapter:
    return _with_adapter(OneAdapter(ring(tmp_path)))


def _with_adapter(records: OneAdapter, **over: Any) -> OneAdapter:
    values = {"slot": "a/asr", "version": 1, "bundle": "b", "registered": "2026", "deleted": "", "statement": "s"}
    values |= {"backbone": "elp:tiny", "fingerprint": "f", "dataset": "data/a/asr/v1", "revision": "c1"}
    records.adapter = RegisteredAdapter(**{**values, "clips_digest": ids_digest([ANN, BEN]), **over})
    return records


def test_clips_of_the_golden_set_are_not_trained_on_whatever_their_split(db: Connection, records: OneAdapter) -> None:
    (adapter,) = find_trained_on(db, records, Subject(speaker="ann")).adapters
    assert (adapter.clips, adapter.certain) == (1, True)
    found = find_trained_on(db, records, Subject(clip=PINNED))
    assert found.adapters == ()
    assert {one.kind: one.learnable for one in found.holdings} == {"data": 0, "golden": 0}


@pytest.mark.parametrize(
    ("over", "reason"),
    [
        ({"dataset": ""}, "its lineage statement is not on the server"),
        (
            {"dataset": "data/b/asr/v1"},
            "data/b/asr/v1 is not in this workspace; ask in the workspace that it was trained from",
        ),
        ({"revision": "c2"}, "data/a/asr/v1 is at c1 here, the adapter was trained from c2"),
        ({"clips_digest": ids_digest([ANN])}, "its lineage names other clips than data/a/asr/v1 has"),
    ],
)
def test_an_adapter_with_unknown_training_data_is_listed_with_the_reason(
    db: Connection, records: OneAdapter, over: dict[str, Any], reason: str
) -> None:
    found = find_trained_on(db, _with_adapter(records, **over), Subject(speaker="nobody"))
    assert (found.adapters, [one.note for one in found.unknown]) == ((), [reason])


def test_a_version_without_its_files_is_listed_with_the_reason(db: Connection, records: OneAdapter) -> None:
    db.execute("INSERT INTO gap VALUES ('data/a/asr/v1', 'shards', 'the DVC remote holds no file m1')")
    found = find_trained_on(db, records, Subject(speaker="nobody"))
    assert found.unknown[0].note == "the DVC remote holds no file m1"


def test_digits_that_fit_two_clips_are_refused(db: Connection, records: OneAdapter) -> None:
    db.execute("INSERT INTO clip VALUES (1, ?, 'ann', 'train', 1.0)", (bytes.fromhex("1" * 63 + "0"),))
    with pytest.raises(UsageError, match="the ids of 2 clips begin with 11111111"):
        find_trained_on(db, records, Subject(clip="1" * 8))
