"""What the API lists: statements and ledger entries as they are stored, and who was champion when."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from pipelines.registry.ledger.entry import MOVES, Head, read_entry
from pipelines.registry.signing.canonical_json import moment
from pipelines.server.ledger.ledger_tables import HEAD, LEDGER, STATEMENTS

FILTERS = ("model", "version", "kind", "fingerprint", "dataset", "bundle")
"""Columns that statements are asked for by."""


def head(session: Session) -> Head:
    """How far the ledger has come."""
    seq, digest = session.execute(select(HEAD.c.seq, HEAD.c.hash)).one()
    return Head(int(seq), str(digest))


def statements(
    session: Session, wanted: Mapping[str, Any], before: int | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Recorded statements with these values in `FILTERS`, the newest first.

    Args:
        session: Of the registry.
        wanted: Value by column.
        before: Only those recorded by an entry with a smaller number: where the page before ended.
        limit: So many at most; None gives all.
    """
    where = [STATEMENTS.c[name] == value for name, value in wanted.items()]
    if before is not None:
        where.append(STATEMENTS.c.seq < before)
    rows = session.execute(select(STATEMENTS).where(*where).order_by(STATEMENTS.c.seq.desc()).limit(limit)).mappings()
    return [dict(row) for row in rows]


def ledger(
    session: Session, slot: str | None = None, event: str | None = None, after: int = 0, limit: int = 100
) -> list[dict[str, Any]]:
    """Entries after a number, in their order: the entry, its text as it is stored, its hash, its signed envelope."""
    query = select(LEDGER).where(LEDGER.c.seq > after).order_by(LEDGER.c.seq).limit(limit)
    for column, value in (("slot", slot), ("event", event)):
        if value is not None:
            query = query.where(_of(LEDGER, column) == value)
    rows = session.execute(query).mappings()
    return [
        {
            "seq": row["seq"],
            "entry": _parsed(row["entry"]),
            "text": row["entry"],
            "hash": row["hash"],
            "envelope": row["envelope"],
        }
        for row in rows
    ]


def champions(session: Session, at: str | None = None) -> list[dict[str, Any]]:
    """By slot, the champion at a moment (None: now) and the entry that made it so; slots without one are left out.

    Raises:
        AttestationError: where `at` is no ISO 8601 moment with an offset.
    """
    query = select(LEDGER.c.entry).where(LEDGER.c.event.in_(MOVES)).order_by(LEDGER.c.seq)
    until = None if at is None else moment(at, "at")
    standing: dict[str, dict[str, Any]] = {}
    for text in session.scalars(query):
        entry = read_entry(text)
        if until is not None and moment(entry.at, "at") > until:
            break
        standing[entry.slot] = {
            "slot": entry.slot,
            "version": entry.after,
            "bundle": entry.bundle,
            "since": entry.at,
            "event": entry.event,
            "by": entry.principal.name,
            "seq": entry.seq,
        }
    return [standing[slot] for slot in sorted(standing) if standing[slot]["version"] is not None]


def _parsed(text: str) -> Any:
    """An entry's JSON; None where somebody spoilt it, for the audit to name."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _of(table: Table, name: str) -> Any:
    return table.c[name]
