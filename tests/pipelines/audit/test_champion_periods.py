from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.audit.champion_periods import find_champions, find_on_backbone
from pipelines.cli.moments import read_moment
from pipelines.errors import RegistryError, UsageError
from pipelines.registry.ledger.entry import LedgerRow
from pipelines.registry.slot import Slot
from tests.support.proof import FINGERPRINT, ring
from tests.support.records import Recorded, bundle_of, champions

SLOT = Slot("a", "asr")
LIFE = [
    ("promoted", None, 1, "02"),
    ("promoted", 1, 2, "04"),
    ("rolled back", 2, 1, "06"),
    ("overridden", 1, 3, "08"),
    ("override expired", 3, 1, "10"),
    ("retired", 1, None, "12"),
    ("refused", None, 9, "13"),
    ("promoted", None, 4, "14"),
]


def _at(records: Recorded, day: str, slot: Slot | None = None) -> list[tuple[str, int | None]]:
    found = find_champions(records, read_moment("--at", f"2026-01-{day}T18:00"), slot)
    return [(one.slot, one.version) for one in found.champions]


@pytest.mark.parametrize(
    ("day", "version"),
    [("01", None), ("02", 1), ("05", 2), ("07", 1), ("09", 3), ("11", 1), ("12", None), ("13", None), ("31", 4)],
)
def test_the_ledger_gives_the_champion_at_any_time(tmp_path: Path, day: str, version: int | None) -> None:
    records = Recorded(ring(tmp_path))
    champions(records, SLOT, LIFE)
    assert _at(records, day) == [("a/asr", version)]


def test_later_entries_are_included(tmp_path: Path) -> None:
    records = Recorded(ring(tmp_path))
    for number, move in enumerate(LIFE[:4]):
        champions(records, SLOT, [move])
        assert _at(records, "31") == [("a/asr", [1, 2, 1, 3][number])]


def test_the_answer_is_about_every_slot_or_about_one(tmp_path: Path) -> None:
    records = Recorded(ring(tmp_path))
    champions(records, SLOT, LIFE[:1])
    champions(records, Slot("b", "asr"), [("promoted", None, 7, "05")])
    assert _at(records, "03") == [("a/asr", 1), ("b/asr", None)]
    assert _at(records, "06", Slot("b", "asr")) == [("b/asr", 7)]


def test_an_entry_that_cannot_be_read_is_left_to_the_verification(tmp_path: Path) -> None:
    records = Recorded(ring(tmp_path))
    champions(records, SLOT, [("promoted", None, 1, "02"), ("promoted", 1, 2, "03")])
    records.rows[0] = LedgerRow(1, "{", *[getattr(records.rows[0], name) for name in ("hash", "envelope")])
    assert [(period.version, period.until) for period in records.champion_periods()] == [(2, None)]


@pytest.fixture
def records(tmp_path: Path) -> Recorded:
    """Two adapters on one backbone, one on another; the second was deleted."""
    made = Recorded(ring(tmp_path))
    other = "sha256:" + "f" * 60 + "0000"
    for version, fingerprint in ((1, FINGERPRINT), (2, FINGERPRINT), (3, other)):
        made.register(SLOT, version, "02", SLOT.tag(1), "c" * 40, "sha256:" + "a" * 64, fingerprint)
    champions(made, SLOT, [("promoted", None, 1, "03"), ("deleted", None, 2, "04")])
    return made


def test_every_adapter_on_a_backbone_is_listed_with_its_status(records: Recorded) -> None:
    found = find_on_backbone(records, FINGERPRINT)
    assert [(one.version, one.status) for one in found.adapters] == [(1, "champion"), (2, "deleted")]
    assert (found.fingerprint, found.names) == (FINGERPRINT, ("elp:tiny",))
    assert find_on_backbone(records, FINGERPRINT, SLOT) == found


def test_versions_of_a_model_that_was_deleted_and_made_again_are_other_adapters(tmp_path: Path) -> None:
    records = Recorded(ring(tmp_path))
    facts = (SLOT.tag(1), "c" * 40, "sha256:" + "a" * 64)
    records.register(SLOT, 1, "02", *facts)
    champions(records, SLOT, [("promoted", None, 1, "03"), ("retired", 1, None, "04"), ("deleted", None, None, "05")])
    second = records.register(SLOT, 1, "06", *facts, bundle="sha256:" + "9" * 64)
    found = find_on_backbone(records, FINGERPRINT).adapters
    assert {(one.bundle, one.status) for one in found} == {
        (bundle_of(1), "deleted"),
        (second.bundle, "never champion"),
    }


def test_a_lineage_that_the_server_lost_leaves_the_adapter_without_its_data(records: Recorded) -> None:
    lost = records.stored.pop(0)
    adapter = records.adapters("a/asr")[0]
    assert (adapter.version, adapter.bundle, adapter.statement) == (lost.version, bundle_of(1), "")
    assert (adapter.dataset, adapter.fingerprint, adapter.clips_digest) == ("", "", "")


@pytest.mark.parametrize(
    ("digits", "error", "message"),
    [
        ("f" * 8, UsageError, "2 backbones begin with ffffffff"),
        ("fff", UsageError, "8 or more digits of a fingerprint"),
        ("nothing-hex", UsageError, "8 or more digits of a fingerprint"),
        ("1" * 8, RegistryError, "no adapter uses a backbone 11111111"),
    ],
)
def test_a_wrong_fingerprint_is_refused(records: Recorded, digits: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        find_on_backbone(records, digits)
