"""What was trained on a person or a recording; if the index cannot compute it, the answer says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from pipelines.audit.data_index import opened
from pipelines.audit.erasure_plan import plan_erasure
from pipelines.audit.tables import erasure_answer, trained_on_answer
from pipelines.audit.trained_on import TrainedOn, find_trained_on
from pipelines.datasets.subject import Subject
from pipelines.errors import UsageError
from pipelines.registry.lineage import LearnedFrom, ids_digest
from pipelines.registry.registered_adapter import ChampionPeriod, RegisteredAdapter
from pipelines.registry.slot import Slot
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
    db.execute("INSERT INTO gap VALUES ('data/a/asr/v1', 'shards', 'md5:m1.dir', 'the DVC remote holds no file m1')")
    found = find_trained_on(db, records, Subject(speaker="nobody"))
    assert found.unknown[0].note == "the DVC remote holds no file m1"


def test_digits_that_fit_two_clips_are_refused(db: Connection, records: OneAdapter) -> None:
    db.execute("INSERT INTO clip VALUES (1, ?, 'ann', 'train', 1.0)", (bytes.fromhex("1" * 63 + "0"),))
    with pytest.raises(UsageError, match="the ids of 2 clips begin with 11111111"):
        find_trained_on(db, records, Subject(clip="1" * 8))


class Several(Recorded):
    """The records of a server with these adapters."""

    found: tuple[RegisteredAdapter, ...] = ()

    def adapters(self, slot: str = "", fingerprint: str = "") -> list[RegisteredAdapter]:
        return [one for one in self.found if slot in ("", one.slot)]


def _learned(slot: str, version: int, role: str = "init") -> LearnedFrom:
    return LearnedFrom(f"{slot} v{version}", slot, version, role)


@pytest.fixture
def chained(db: Connection, tmp_path: Path) -> Several:
    """a/asr v1 was trained on ann; b/asr v1 started from it, and b/asr v2 from b/asr v1; v3 has a lost teacher."""
    db.execute("INSERT INTO release VALUES ('b/asr', 'data', 1, 'data/b/asr/v1', 'c1', '', '', '')")
    db.execute("INSERT INTO file VALUES (3, 'm3', 'three', 0)")
    db.execute("INSERT INTO span VALUES ('b/asr', 'shards', 3, 1, 1)")
    db.execute("INSERT INTO clip VALUES (3, ?, 'cat', 'train', 1.0)", (bytes.fromhex("4" * 64),))
    first = _with_adapter(OneAdapter(ring(tmp_path / "one")), bundle="a/asr v1").adapter
    other = replace(first, slot="b/asr", dataset="data/b/asr/v1", clips_digest=ids_digest(["4" * 64]))
    records = Several(ring(tmp_path / "several"))
    records.found = (
        first,
        replace(other, bundle="b/asr v1", learned=(_learned("a/asr", 1),)),
        replace(other, bundle="b/asr v2", version=2, learned=(_learned("b/asr", 1),)),
        replace(other, bundle="b/asr v3", version=3, learned=(LearnedFrom("lost", role="teacher"),)),
    )
    return records


@pytest.mark.parametrize("slot", [None, Slot("a", "asr")])
def test_who_learned_from_an_adapter_that_was_trained_on_them_is_in_the_answer(
    db: Connection, chained: Several, slot: Slot | None
) -> None:
    found = find_trained_on(db, chained, Subject(speaker="ann"), slot)
    assert {(one.slot, one.version): (one.clips, one.chain) for one in found.adapters} == {
        ("a/asr", 1): (1, ""),
        ("b/asr", 1): (0, "v1 ← a/asr v1, which was trained on 1 of the clips"),
        ("b/asr", 2): (0, "v2 ← v1 ← a/asr v1, which was trained on 1 of the clips"),
    }
    assert find_trained_on(db, chained, Subject(speaker="cat"), Slot("a", "asr")).adapters == ()


def test_who_learned_from_an_adapter_of_unknown_data_is_unknown(db: Connection, chained: Several) -> None:
    (alone,) = find_trained_on(db, chained, Subject(speaker="nobody")).unknown
    assert (alone.version, alone.note) == (3, "it learned from lost, of which the server has no record (v3 ← lost)")
    db.execute("INSERT INTO gap VALUES ('data/a/asr/v1', 'shards', 'md5:m1.dir', 'the DVC remote holds no file m1')")
    notes = {one.version: one.note for one in find_trained_on(db, chained, Subject(speaker="nobody")).unknown[1:]}
    assert notes[2] == "it learned from a/asr v1 (v2 ← v1 ← a/asr v1): the DVC remote holds no file m1"


def test_the_plan_retrains_who_learned_from_them_after_the_drops(db: Connection, chained: Several) -> None:
    promoted = {"a/asr": chained.found[0], "b/asr": chained.found[2]}
    periods = [ChampionPeriod(1, n, a.version, a.bundle, "2026", None, "promoted", "", "") for n, a in promoted.items()]
    chained.champion_periods = lambda slot="": [one for one in periods if slot in ("", one.slot)]
    plan = plan_erasure(db, chained, Subject(speaker="ann"))
    assert [one.slot for one in plan.slots] == ["a/asr", "b/asr"]
    (stop, again) = plan.slots[1].steps
    assert (stop.commands, again.commands[0]) == (("elp retire b/asr --reason erasure",), "elp retrain b/asr")
    assert again.what.startswith("it learned from them through another adapter (v2 ← v1 ← a/asr v1, which was trained")
    assert "learned from" in trained_on_answer(plan.found).tables[0].head
    # b/asr is a slot of another workspace at the same server, which has the data
    db.execute("DELETE FROM release WHERE slot = 'b/asr'")
    (stop, again) = plan_erasure(db, chained, Subject(speaker="ann")).slots[1].steps
    assert (stop.commands, again.commands) == (("elp retire b/asr --reason erasure",), ())
    assert again.what.startswith("in the workspace that it was trained from: it learned from them through another")


def test_the_plan_drops_what_an_adapter_labelled_that_was_trained_on_them(db: Connection, chained: Several) -> None:
    labelled = {"a/asr": ["a/asr v1", "other"], "b/asr": ["b/asr v2", "b/asr v3"]}
    plan = plan_erasure(db, chained, Subject(speaker="ann"), teachers=lambda slot: labelled[slot])
    commands = {one.slot: [command for step in one.drops for command in step.commands] for one in plan.slots}
    assert commands == {
        "a/asr": ["elp data drop a/asr --speaker ann", "elp data drop a/asr --teacher a/asr v1"],
        "b/asr": ["elp data drop b/asr --teacher b/asr v2"],
    }
    promoted = ChampionPeriod(1, "a/asr", 1, "a/asr v1", "2026", None, "promoted", "", "")
    chained.champion_periods = lambda slot="": [promoted]
    plan = plan_erasure(db, chained, Subject(speaker="ann"), teachers=lambda slot: labelled[slot])
    rows = [row for table in erasure_answer(plan).tables[:3] for row in table.rows]
    assert [row[1].splitlines()[0] for row in rows if row[1]] == [
        "elp data drop a/asr --speaker ann",
        "elp data drop a/asr --teacher a/asr v1",
        # every drop comes before the first training, which may start from any champion
        "elp data drop b/asr --teacher b/asr v2",
        "elp retire a/asr --reason erasure",
        "elp retrain a/asr",
    ]


def test_the_plan_says_which_champion_may_have_been_trained_on_them(db: Connection, chained: Several) -> None:
    present = ChampionPeriod(1, "b/asr", 3, "b/asr v3", "2026", None, "promoted", "", "")
    chained.champion_periods = lambda slot="": [present]
    (_, second) = plan_erasure(db, chained, Subject(speaker="ann")).slots
    (step,) = second.steps
    assert step.what.startswith("it is unknown whether the champion, v3, was trained on them (it learned from lost,")
    assert step.commands == ("elp retrain b/asr", "elp promote b/asr")
    # and a rollback to it is no way out
    first = ChampionPeriod(1, "b/asr", 3, "b/asr v3", "2026", "2027", "promoted", "", "")
    later = ChampionPeriod(2, "b/asr", 2, "b/asr v2", "2027", None, "promoted", "", "")
    chained.champion_periods = lambda slot="": [first, later]
    (_, second) = plan_erasure(db, chained, Subject(speaker="ann")).slots
    assert second.steps[0].commands == ("elp retire b/asr --reason erasure",)
    # the slot of another workspace is trained there
    chained.champion_periods = lambda slot="": [present]
    db.execute("DELETE FROM release WHERE slot = 'b/asr'")
    (_, second) = plan_erasure(db, chained, Subject(speaker="ann")).slots
    (step,) = second.steps
    assert ("data/b/asr/v1 is not in this workspace; ask in" in step.what, step.commands) == (True, ())
