"""An entry that moves several slots is read as one for each of them."""

from __future__ import annotations

from pipelines.registry.ledger.entry import LedgerEntry, Principal, read_entry
from pipelines.registry.ledger.site_moves import about_slot, champion_moves, site_detail

WHO = Principal("ann", True, "10.0.0.1")
AT = "2026-01-01T00:00:00.000000+00:00"


def entry(event, slot: str = "", **over) -> LedgerEntry:
    values = {"before": None, "after": None, "bundle": "", "reason": "", **over}
    return LedgerEntry(7, "0" * 64, AT, event, slot, principal=WHO, **values)


def test_one_entry_gives_the_move_of_each_slot_and_survives_its_text() -> None:
    moves = [
        entry("migrated", "plant-a/asr", before=1, after=2, bundle="sha256:a", statements=("v", "l")),
        entry("migrated", "plant-a/asv", before=4, after=6, bundle="sha256:b", statements=("w",)),
    ]
    whole = entry("migrated", detail=site_detail("plant-a", moves, to="sha256:9"))
    read = read_entry(whole.text)
    assert [(one.slot, one.before, one.after, one.bundle, one.statements) for one in champion_moves(read)] == [
        ("plant-a/asr", 1, 2, "sha256:a", ("v", "l")),
        ("plant-a/asv", 4, 6, "sha256:b", ("w",)),
    ]
    asr = about_slot(read, "plant-a/asr")
    assert asr
    assert (asr.seq, asr.event, asr.principal) == (7, "migrated", WHO)
    assert about_slot(read, "plant-a/ser") is None


def test_an_entry_about_one_slot_is_itself_and_others_move_nothing() -> None:
    one = entry("promoted", "plant-a/asr", after=3)
    assert champion_moves(one) == (one,)
    assert about_slot(one, "plant-a/asr") == one
    assert about_slot(one, "plant-a/asv") is None
    assert champion_moves(entry("gated", "plant-a/asr", after=3)) == ()
    assert champion_moves(entry("migrated", detail={"moves": ["not", "a", "mapping"]})) == ()
