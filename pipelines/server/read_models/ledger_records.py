"""Entries of the ledger: for the pages as records, for the API as they are stored.

Nothing is verified here: `elp audit --verify` does that, and a strict reading would take five times as long.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pipelines.errors import AttestationError
from pipelines.registry.ledger.entry import MOVES, Head, LedgerEntry, Principal
from pipelines.registry.slot import Slot
from pipelines.server.ledger.ledger_tables import HEAD, LEDGER


def last_changes(connection: sa.Connection) -> dict[str, LedgerEntry]:
    """Return, by slot, the newest change of champion."""
    newest = (
        sa.select(sa.func.max(LEDGER.c.seq).label("seq"))
        .where(LEDGER.c.event.in_(MOVES))
        .group_by(LEDGER.c.slot)
        .subquery()
    )
    rows = connection.scalars(sa.select(LEDGER.c.entry).join_from(newest, LEDGER, LEDGER.c.seq == newest.c.seq))
    return {entry.slot: entry for entry in map(read_stored_entry, rows)}


def slot_entries(
    connection: sa.Connection, slot: Slot, events: Sequence[str] = (), before: int | None = None, limit: int = 100
) -> list[LedgerEntry]:
    """Return a slot's entries, newest first; only those of `events`, or before a number, if these are given."""
    query = sa.select(LEDGER.c.entry).where(LEDGER.c.slot == str(slot))
    if events:
        query = query.where(LEDGER.c.event.in_(events))
    if before is not None:
        query = query.where(LEDGER.c.seq < before)
    return [read_stored_entry(text) for text in connection.scalars(query.order_by(LEDGER.c.seq.desc()).limit(limit))]


def entry_at(connection: sa.Connection, seq: int) -> LedgerEntry | None:
    """Return the entry of this number, or None."""
    text = connection.scalar(sa.select(LEDGER.c.entry).where(LEDGER.c.seq == seq))
    return read_stored_entry(text) if text else None


def read_stored_entry(text: str) -> LedgerEntry:
    """Read an entry to show it, without verification.

    Raises:
        AttestationError: The text is not an entry.
    """
    with readable("ledger entry"):
        values = json.loads(text)
        values |= {"before": values.pop("from"), "after": values.pop("to")}
        values["principal"] = Principal(**values.pop("who"))
        return LedgerEntry(**{**values, "statements": tuple(values["statements"])})


def ledger_head(session: Session) -> Head:
    """Return number and hash of the newest entry."""
    seq, digest = session.execute(sa.select(HEAD.c.seq, HEAD.c.hash)).one()
    return Head(int(seq), str(digest))


def ledger_rows_after(
    session: Session, slot: str | None = None, event: str | None = None, after: int = 0, limit: int = 100
) -> list[dict[str, Any]]:
    """Return entries after a number, oldest first: entry, text as it is stored, hash and signed envelope."""
    query = sa.select(LEDGER).where(LEDGER.c.seq > after).order_by(LEDGER.c.seq).limit(limit)
    if slot is not None:
        query = query.where(LEDGER.c.slot == slot)
    if event is not None:
        query = query.where(LEDGER.c.event == event)
    return [
        {"seq": row.seq, "entry": _parsed(row.entry), "text": row.entry, "hash": row.hash, "envelope": row.envelope}
        for row in session.execute(query)
    ]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        # the audit names an entry that was damaged
        return None


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Report a stored record that has another form than it should have.

    Raises:
        AttestationError: The block could not read the record.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise AttestationError("malformed", f"a stored {what} is not one: {error!r}") from error
