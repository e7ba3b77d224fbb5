"""What the guard itself wrote down, in few queries: ledger entries, statements, overrides."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from pipelines.errors import AttestationError
from pipelines.registry.ledger.entry import MOVES, LedgerEntry, Principal
from pipelines.registry.signing import envelope
from pipelines.registry.signing.envelope import Envelope
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, VerdictStatement, parse_statement, stored_verdict
from pipelines.server.ledger.ledger_tables import LEDGER, STATEMENTS
from pipelines.server.read_models.by_version import Key, rows_at, wanted


@dataclass(frozen=True)
class Judged:
    """A verdict as the server keeps it."""

    digest: str
    """SHA-256 (hex) of the statement."""
    seq: int
    """Number of the ledger's entry that recorded it."""
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


def last_changes(connection: sa.Connection) -> dict[str, LedgerEntry]:
    """By slot, the newest entry after which another version served, or none."""
    newest = (
        sa.select(sa.func.max(LEDGER.c.seq).label("seq"))
        .where(LEDGER.c.event.in_(MOVES))
        .group_by(LEDGER.c.slot)
        .subquery()
    )
    rows = connection.scalars(sa.select(LEDGER.c.entry).join_from(newest, LEDGER, LEDGER.c.seq == newest.c.seq))
    return {entry.slot: entry for entry in map(_entry, rows)}


def entries(
    connection: sa.Connection, slot: Slot, events: Sequence[str] = (), before: int | None = None, limit: int = 100
) -> list[LedgerEntry]:
    """A slot's entries, newest first; those of some events, or before a number, where asked."""
    query = sa.select(LEDGER.c.entry).where(LEDGER.c.slot == str(slot))
    if events:
        query = query.where(LEDGER.c.event.in_(events))
    if before is not None:
        query = query.where(LEDGER.c.seq < before)
    return [_entry(text) for text in connection.scalars(query.order_by(LEDGER.c.seq.desc()).limit(limit))]


def entry(connection: sa.Connection, seq: int) -> LedgerEntry | None:
    """The entry of this number."""
    text = connection.scalar(sa.select(LEDGER.c.entry).where(LEDGER.c.seq == seq))
    return _entry(text) if text else None


def verdicts(connection: sa.Connection, keys: Iterable[Key]) -> dict[Key, list[Judged]]:
    """The verdicts on these versions, oldest first."""
    found: dict[Key, list[Judged]] = {}
    for row in _statements(connection, "verdict", keys):
        found.setdefault((row.model, row.version), []).append(_judged(row))
    return found


def verdicts_after(connection: sa.Connection, after: Mapping[str, int]) -> dict[str, Iterator[Judged]]:
    """By model, its verdicts that later ledger entries than this recorded, newest first; deleted versions' too.

    A slot may have many, and who asks seldom needs more than one: each is parsed as it is taken.
    """
    these = wanted(connection, after.items())
    later = sa.and_(
        STATEMENTS.c.model == these.c.name, STATEMENTS.c.kind == "verdict", STATEMENTS.c.seq > these.c.number
    )
    query = sa.select(*_COLUMNS).join_from(these, STATEMENTS, later).order_by(STATEMENTS.c.seq.desc())
    found: dict[str, list[Any]] = {}
    for row in connection.execute(query):
        found.setdefault(row.model, []).append(row)
    return {model: map(_judged, rows) for model, rows in found.items()}


def origins(connection: sa.Connection, keys: Iterable[Key]) -> dict[Key, Origin]:
    """The lineage of these versions, as far as it was signed; the newest statement of each."""
    found = {(row.model, row.version): row for row in _statements(connection, "lineage", keys)}
    return {
        key: Origin(row.digest, row.keyid, row.at, row.version, _lineage(row.envelope)) for key, row in found.items()
    }


def signed(connection: sa.Connection, keys: Iterable[Key]) -> dict[Key, str]:
    """Digest of the newest lineage statement of these versions, as far as there is one."""
    return {(row.model, row.version): row.digest for row in _statements(connection, "lineage", keys)}


def statement(connection: sa.Connection, digest: str) -> Stored | None:
    """A statement of either kind, as it is stored."""
    row = connection.execute(sa.select(*_COLUMNS).where(STATEMENTS.c.digest == digest)).first()
    if row is None:
        return None
    return Stored(row.digest, row.kind, row.model, row.version, row.at, envelope.read_envelope(row.envelope))


_COLUMNS = [STATEMENTS.c[name] for name in ("digest", "kind", "seq", "model", "version", "keyid", "at", "envelope")]


def _statements(connection: sa.Connection, kind: str, keys: Iterable[Key]) -> list[Any]:
    """Rows of one kind on these versions, oldest first."""
    found = rows_at(connection, keys, STATEMENTS.c.model, _COLUMNS, STATEMENTS.c.kind == kind)
    return sorted(found, key=lambda row: row.seq)


def _entry(text: str) -> LedgerEntry:
    """An entry to show. Nothing is verified: `elp audit --verify` does that, and takes five times as long."""
    with _readable("ledger entry"):
        values = json.loads(text)
        values |= {"before": values.pop("from"), "after": values.pop("to"), "principal": Principal(**values.pop("who"))}
        return LedgerEntry(**{**values, "statements": tuple(values["statements"])})


def _judged(row: Any) -> Judged:
    return Judged(row.digest, row.seq, row.keyid, row.at, _verdict(row.envelope))


def _verdict(text: str) -> VerdictStatement:
    """A verdict to show. Nothing is verified, as above: the server did that before it was stored."""
    with _readable("verdict"):
        return stored_verdict(base64.b64decode(json.loads(text)["payload"]))


def _lineage(text: str) -> LineageStatement:
    statement = parse_statement(envelope.read_envelope(text).payload)
    if not isinstance(statement, LineageStatement):
        raise AttestationError("mismatch", "a statement stored as a lineage is none")
    return statement


@contextmanager
def _readable(what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise AttestationError("malformed", f"a stored {what} is not one: {error!r}") from error
