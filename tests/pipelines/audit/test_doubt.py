"""Where the index cannot tell what a training used, it says so: never a silent no."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from pipelines.audit.data_index import note_used
from pipelines.audit.index_file import opened
from pipelines.audit.learned import learned
from pipelines.datasets.subject import Subject
from pipelines.errors import UsageError
from pipelines.registry.lineage import ids_digest

ANN, BEN, PINNED = ("1" * 64, "2" * 64, "3" * 64)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Connection]:
    """One dataset version with three training clips, of which a golden set holds the third; an adapter on it."""
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


def _adapter(db: Connection, **over: Any) -> None:
    values = {"dataset": "data/a/asr/v1", "revision": "c1", "clips": ids_digest([ANN, BEN]), **over}
    db.execute(
        "INSERT INTO adapter (slot, version, bundle, registered, statement, fingerprint, dataset, revision, clips) "
        "VALUES ('a/asr', 1, 'b', '2026', 's', 'f', :dataset, :revision, :clips)",
        values,
    )
    note_used(db)


def test_clips_of_the_golden_set_are_not_learned_from_whatever_their_split_says(db: Connection) -> None:
    _adapter(db)
    (adapter,) = learned(db, Subject(speaker="ann")).adapters
    assert (adapter.clips, adapter.certain) == (1, True)
    assert learned(db, Subject(clip=PINNED)).adapters == ()
    assert {one.kind: one.learnable for one in learned(db, Subject(clip=PINNED)).held} == {"data": 0, "golden": 0}


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({"dataset": None}, "its lineage statement is not on the server"),
        ({"dataset": "data/b/asr/v1"}, "is not in this workspace; ask in the workspace that it was trained from"),
        ({"revision": "c2"}, "is at c1 here, the adapter was trained from c2"),
        ({"clips": ids_digest([ANN])}, "its lineage names other clips than data/a/asr/v1 gives"),
    ],
)
def test_an_adapter_of_which_it_cannot_be_told_is_listed_with_the_reason(
    db: Connection, over: dict[str, Any], told: str
) -> None:
    _adapter(db, **over)
    found = learned(db, Subject(speaker="nobody"))
    assert found.adapters == ()
    assert [told in one.note for one in found.unknown] == [True]


def test_a_version_whose_files_are_gone_is_told(db: Connection) -> None:
    db.execute("INSERT INTO gap VALUES ('data/a/asr/v1', 'shards', 'the DVC remote holds no file m1')")
    _adapter(db)
    assert learned(db, Subject(speaker="nobody")).unknown[0].note == "the DVC remote holds no file m1"


def test_digits_that_fit_two_clips_are_refused(db: Connection) -> None:
    db.execute("INSERT INTO clip VALUES (1, ?, 'ann', 'train', 1.0)", (bytes.fromhex("1" * 63 + "0"),))
    with pytest.raises(UsageError, match="2 clips begin with 11111111"):
        learned(db, Subject(clip="1" * 8))
