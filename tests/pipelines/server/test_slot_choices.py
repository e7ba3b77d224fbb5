"""Which versions the forms of a slot's page offer, and which one is chosen at first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pipelines.registry.adapter_version import AdapterVersion, Tags
from pipelines.registry.slot import Slot
from pipelines.server.read_models.signed_records import RecordedVerdict
from pipelines.server.read_models.slot_page import SlotPage, VersionRow
from tests.support.proof import chain, ring
from tests.support.registry_rows import verdict

SLOT, AT = Slot("plant-a", "asr"), datetime(2026, 7, 1, tzinfo=UTC)


def row(version: int, outcome: Any, status: str = "candidate", *, stale: bool = False, gone: Any = None) -> VersionRow:
    aliases = (status,) if status in ("champion", "challenger") else ()
    known = AdapterVersion(SLOT, version, f"run-{version}", "", AT.isoformat(), {Tags.STATUS: status}, aliases)
    made = verdict(SLOT, version, "sha256:" + "0" * 64, outcome, (1, "c"), AT) if outcome else None
    judged = made and RecordedVerdict("d", version, "k", AT.isoformat(), made)
    return VersionRow(known, judged, None, stale, gone)


def page(*rows: VersionRow) -> SlotPage:
    named = {alias: one.version for one in rows for alias in one.version.aliases}
    champion, challenger = (named.get(alias) for alias in ("champion", "challenger"))
    return SlotPage(SLOT, rows, champion, challenger, None, "", None, None, (), (), None)


CHAMPION = row(1, "passed", "champion")


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([row(2, "passed", "challenger")], 2),
        ([row(3, "failed", "rejected"), row(2, "passed", "challenger")], 2),
        ([row(3, "passed"), row(2, "passed", "challenger")], 2),
        ([row(3, "passed"), row(2, "passed")], 3),
        ([row(3, "failed", "rejected")], None),
        ([row(3, "undecided")], None),
        ([row(3, None)], None),
        ([row(2, "passed", "challenger", stale=True)], None),
        ([row(2, "passed", "retired")], None),
        ([], None),
    ],
)
def test_a_promotion_is_offered_for_what_may_be_promoted(rows: list[VersionRow], chosen: int | None) -> None:
    assert page(*rows, CHAMPION).preselected == chosen


def test_a_version_that_was_rolled_back_is_not_chosen(tmp_path: Any) -> None:
    gone = chain(ring(tmp_path), 1)[0].entry
    assert page(row(2, "passed", "challenger", gone=gone), CHAMPION).preselected is None


@pytest.mark.parametrize(
    ("rows", "pair"),
    [
        ([row(3, None), row(2, "passed", "challenger"), CHAMPION], (1, 2)),
        ([row(3, "failed", "rejected"), row(2, "passed", "champion"), row(1, "passed", "retired")], (2, 3)),
        ([row(2, "passed", "champion"), row(1, "passed", "retired")], (2, 1)),
        ([row(3, None), row(2, None), row(1, None)], (1, 3)),
        ([CHAMPION], (1, 1)),
    ],
)
def test_the_champion_is_compared_with_what_waits(rows: list[VersionRow], pair: tuple[int, int]) -> None:
    assert page(*rows).pair == pair
