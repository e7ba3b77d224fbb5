"""What the guard itself wrote down, in few queries: ledger entries, statements, overrides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from pipelines.attest import envelope
from pipelines.attest.envelope import Envelope
from pipelines.attest.ledger import Entry, read_entry
from pipelines.attest.statements import LineageStatement, VerdictStatement, parse
from pipelines.guard.tables import LEDGER, STATEMENTS
from pipelines.settings import Slot

CHANGES = ("promoted", "rolled back", "retired", "overridden", "override expired")
"""Events after which another version serves, or none."""

Key = tuple[str, int]
"""Model name and version."""
_BATCH = 400
"""Versions asked for in one query: databases limit its parameters."""


@dataclass(frozen=True)
class Judged:
    """A verdict as the server keeps it."""

    digest: str
    """SHA-256 (hex) of the statement."""
    keyid: str
    at: str
    """When the server took it: UTC, ISO 8601."""
    statement: VerdictStatement


@dataclass(frozen=True)
class Origin:
    """A lineage as the server keeps it."""

    digest: str
    keyid: str
    at: str
    version: int
    statement: LineageStatement


@dataclass(frozen=True)
class Stored:
    """A statement in its envelope."""

    digest: str
    kind: Literal["lineage", "verdict"]
    model: str
    version: int
    at: str
    envelope: Envelope


def last_changes(connection: sa.Connection) -> dict[str, Entry]:
    """By slot, the newest entry after which another version served, or none."""
    newest = (
        sa.select(sa.func.max(LEDGER.c.seq).label("seq"))
        .where(LEDGER.c.event.in_(CHANGES))
        .group_by(LEDGER.c.slot)
        .subquery()
    )
    rows = connection.scalars(sa.select(LEDGER.c.entry).join(newest, LEDGER.c.seq == newest.c.seq))
    return {entry.slot: entry for entry in map(read_entry, rows)}


def entries(
    connection: sa.Connection, slot: Slot, events: Sequence[str] = (), before: int | None = None, limit: int = 100
) -> list[Entry]:
    """A slot's entries, newest first; those of some events, or before a number, where asked."""
    query = sa.select(LEDGER.c.entry).where(LEDGER.c.slot == str(slot))
    if events:
        query = query.where(LEDGER.c.event.in_(events))
    if before is not None:
        query = query.where(LEDGER.c.seq < before)
    return [read_entry(text) for text in connection.scalars(query.order_by(LEDGER.c.seq.desc()).limit(limit))]


def entry(connection: sa.Connection, seq: int) -> Entry | None:
    """The entry of this number."""
    text = connection.scalar(sa.select(LEDGER.c.entry).where(LEDGER.c.seq == seq))
    return read_entry(text) if text else None


def verdicts(connection: sa.Connection, wanted: Iterable[Key]) -> dict[Key, list[Judged]]:
    """The verdicts on these versions, oldest first."""
    found: dict[Key, list[Judged]] = {}
    for row in _statements(connection, "verdict", wanted):
        read = envelope.read(row.envelope)
        statement = parse(read.payload)
        assert isinstance(statement, VerdictStatement)
        found.setdefault((row.model, row.version), []).append(Judged(row.digest, read.keyid, row.at, statement))
    return found


def origins(connection: sa.Connection, wanted: Iterable[Key]) -> dict[Key, Origin]:
    """The lineage of these versions, as far as it was signed; the newest statement of each."""
    rows = _statements(connection, "lineage", wanted)
    return {(row.model, row.version): _origin(row) for row in rows}


def statement(connection: sa.Connection, digest: str) -> Stored | None:
    """A statement of either kind, as it is stored."""
    row = connection.execute(_columns().where(STATEMENTS.c.digest == digest)).first()
    if row is None:
        return None
    return Stored(row.digest, row.kind, row.model, row.version, row.at, envelope.read(row.envelope))


def _columns() -> Any:
    names = "digest", "kind", "seq", "model", "version", "at", "envelope"
    return sa.select(*(STATEMENTS.c[name] for name in names))


def _statements(connection: sa.Connection, kind: str, wanted: Iterable[Key]) -> list[Any]:
    """Rows of one kind, oldest first; a few hundred versions to a query, which databases limit."""
    keys = sorted(set(wanted))
    rows: list[Any] = []
    for start in range(0, len(keys), _BATCH):
        pairs = sa.tuple_(STATEMENTS.c.model, STATEMENTS.c.version).in_(keys[start : start + _BATCH])
        rows += connection.execute(_columns().where(STATEMENTS.c.kind == kind, pairs)).all()
    return sorted(rows, key=lambda row: row.seq)


def _origin(row: Any) -> Origin:
    read = envelope.read(row.envelope)
    statement = parse(read.payload)
    assert isinstance(statement, LineageStatement)
    return Origin(row.digest, read.keyid, row.at, row.version, statement)
