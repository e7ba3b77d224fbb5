"""The condition of the ledger entries about a slot, with those that move the champions of its whole site."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, or_

from pipelines.registry.ledger.entry import SITE_MOVES
from pipelines.server.ledger import LEDGER


def entries_about(slot: str) -> ColumnElement[bool]:
    """Return the condition; `registry.ledger.site_moves.about_slot` reduces what it finds to the slot."""
    # the entry is canonical JSON: this text is a key in it, and cannot be part of a value
    key = LEDGER.c.entry.contains(f'"{slot}":{{"bundle":', autoescape=True)
    return or_(LEDGER.c.slot == slot, and_(LEDGER.c.event.in_(SITE_MOVES), key))
