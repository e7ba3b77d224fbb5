"""Entries that move the champions of several slots of a site at once, seen as one entry for each slot.

Such an entry concerns no single slot: its `slot` is empty, and ``moves`` in its `detail` has, by slot, ``bundle``,
``from``, ``statements`` and ``to``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pipelines.registry.ledger.entry import MOVES, SITE_MOVES, LedgerEntry
from pipelines.registry.slot import Slot


def site_detail(site: str, moves: Iterable[LedgerEntry], **more: Any) -> dict[str, Any]:
    """Return the detail of one entry for these moves of single slots."""
    found = {
        one.slot: {"bundle": one.bundle, "from": one.before, "statements": list(one.statements), "to": one.after}
        for one in moves
    }
    return {"site": site, "moves": found, **more}


def champion_moves(entry: LedgerEntry) -> tuple[LedgerEntry, ...]:
    """Return the moves of champions that an entry states, one for each slot; none if it moves no champion.

    Numbers, dates and principals are those of the entry, hash and text are not.
    """
    if entry.event not in SITE_MOVES:
        return (entry,) if entry.event in MOVES else ()
    moves = entry.detail.get("moves")
    found = (
        [(slot, one) for slot, one in moves.items() if isinstance(one, Mapping)] if isinstance(moves, Mapping) else []
    )
    return tuple(
        replace(
            entry,
            slot=slot,
            before=one.get("from"),
            after=one.get("to"),
            bundle=str(one.get("bundle", "")),
            statements=tuple(one.get("statements", ())),
        )
        for slot, one in sorted(found)
    )


def about_slot(entry: LedgerEntry, slot: Slot | str) -> LedgerEntry | None:
    """Return the entry as one about a slot; None if it is about others only."""
    if entry.event in SITE_MOVES:
        return next((one for one in champion_moves(entry) if one.slot == str(slot)), None)
    return entry if entry.slot == str(slot) else None
