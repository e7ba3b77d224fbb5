"""Ledger entries and signed statements as the server keeps them: records for the pages, rows for the API.

Nothing is verified here: the server did that before it stored them, and `elp audit --verify` does it again. A strict
reading takes five times as long.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pipelines.errors import AttestationError
from pipelines.registry.ledger.entry import MOVES, SITE_MOVES, Head, LedgerEntry, Principal
from pipelines.registry.ledger.site_moves import about_slot, champion_moves
from pipelines.registry.plain_json import shape_fault
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, stored_lineage
from pipelines.registry.verdict_statement import VerdictStatement, stored_verdict
from pipelines.server.ledger import HEAD, LEDGER, STATEMENTS
from pipelines.server.read_models.by_version import Key, rows_at, wanted
from pipelines.server.storage.site_entries import entries_about

FILTERS = ("model", "version", "kind", "fingerprint", "dataset", "bundle")
"""Columns that the API can select statements by."""
_COLUMNS = [STATEMENTS.c[name] for name in ("digest", "kind", "seq", "model", "version", "keyid", "at", "envelope")]

S = TypeVar("S", LineageStatement, VerdictStatement)


@dataclass(frozen=True)
class RecordedStatement(Generic[S]):
    """A statement as the server keeps it."""

    digest: str
    """SHA-256 (hex) of the statement."""
    seq: int
    """Number of the ledger entry that recorded it."""
    keyid: str
    at: str
    """When the server accepted it: UTC, ISO 8601."""
    statement: S


RecordedVerdict = RecordedStatement[VerdictStatement]
RecordedLineage = RecordedStatement[LineageStatement]


def last_changes(connection: sa.Connection) -> dict[str, LedgerEntry]:
    """Return, by slot, the newest change of champion."""
    found = _newest_of_slots(connection, tuple(event for event in MOVES if event not in SITE_MOVES))
    query = sa.select(LEDGER.c.entry).where(LEDGER.c.event.in_(SITE_MOVES)).order_by(LEDGER.c.seq)
    for text in connection.scalars(query):
        for move in champion_moves(read_stored_entry(text)):
            if move.slot not in found or found[move.slot].seq < move.seq:
                found[move.slot] = move
    return found


def last_gated(connection: sa.Connection) -> dict[str, LedgerEntry]:
    """Return, by slot, the entry of the newest verdict."""
    return _newest_of_slots(connection, ("gated",))


def _newest_of_slots(connection: sa.Connection, events: Sequence[str]) -> dict[str, LedgerEntry]:
    newest = (
        sa.select(sa.func.max(LEDGER.c.seq).label("seq"))
        .where(LEDGER.c.event.in_(events))
        .group_by(LEDGER.c.slot)
        .subquery()
    )
    rows = connection.scalars(sa.select(LEDGER.c.entry).join_from(newest, LEDGER, LEDGER.c.seq == newest.c.seq))
    return {entry.slot: entry for entry in map(read_stored_entry, rows)}


def slot_entries(
    connection: sa.Connection,
    slot: Slot,
    events: Sequence[str] = (),
    before: int | None = None,
    limit: int = 100,
    *,
    refusals: bool = True,
) -> list[LedgerEntry]:
    """Return a slot's entries, newest first; only those of `events`, or before a number, if these are given."""
    query = sa.select(LEDGER.c.entry).where(entries_about(str(slot)))
    if not refusals:
        query = query.where(LEDGER.c.event != "refused")
    if events:
        query = query.where(LEDGER.c.event.in_(events))
    if before is not None:
        query = query.where(LEDGER.c.seq < before)
    found = map(read_stored_entry, connection.scalars(query.order_by(LEDGER.c.seq.desc()).limit(limit)))
    return [mine for entry in found if (mine := about_slot(entry, slot)) is not None]


def entry_at(connection: sa.Connection, seq: int) -> LedgerEntry | None:
    """Return the entry of this number, or None."""
    text = connection.scalar(sa.select(LEDGER.c.entry).where(LEDGER.c.seq == seq))
    return read_stored_entry(text) if text else None


def read_stored_entry(text: str) -> LedgerEntry:
    """Read an entry to show it, without verification; raises AttestationError if the text is not an entry."""
    with _readable("ledger entry"):
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
        query = query.where(entries_about(slot))
    if event is not None:
        query = query.where(LEDGER.c.event == event)
    return [
        {"seq": row.seq, "entry": _parsed(row.entry), "text": row.entry, "hash": row.hash, "envelope": row.envelope}
        for row in session.execute(query)
    ]


def verdicts(connection: sa.Connection, keys: Iterable[Key]) -> dict[Key, list[RecordedVerdict]]:
    """Return the verdicts on these versions, oldest first."""
    found: dict[Key, list[RecordedVerdict]] = {}
    for row in _statements(connection, "verdict", keys):
        found.setdefault((row.model, row.version), []).append(_recorded(row, stored_verdict))
    return found


def verdicts_after(connection: sa.Connection, after: Mapping[str, int]) -> dict[str, Iterator[RecordedVerdict]]:
    """Return, by model, the verdicts that ledger entries after this number recorded, also on deleted versions.

    They come newest first, each parsed when the iterator reaches it: a slot may have many, and callers need few.
    """
    these = wanted(connection, after.items())
    later = sa.and_(
        STATEMENTS.c.model == these.c.name, STATEMENTS.c.kind == "verdict", STATEMENTS.c.seq > these.c.number
    )
    query = sa.select(*_COLUMNS).join_from(these, STATEMENTS, later).order_by(STATEMENTS.c.seq.desc())
    found: dict[str, list[Any]] = {}
    for row in connection.execute(query):
        found.setdefault(row.model, []).append(row)
    return {model: (_recorded(row, stored_verdict) for row in rows) for model, rows in found.items()}


def newest_lineages(connection: sa.Connection, keys: Iterable[Key]) -> dict[Key, Any]:
    """Return the row of the newest lineage of each of these versions that has one, for `read_lineage`."""
    return {(row.model, row.version): row for row in _statements(connection, "lineage", keys)}


def read_lineage(row: Any) -> RecordedLineage:
    """Read a row of the statements' table; raises AttestationError if it has no lineage."""
    return _recorded(row, stored_lineage)


def statement_rows(
    connection: sa.Connection | Session,
    selected: Mapping[str, Any],
    before: int | None = None,
    limit: int | None = None,
) -> Sequence[sa.Row[Any]]:
    """Return the rows of all statements with these values by column, newest first; `before` is an entry's number."""
    where = [STATEMENTS.c[name] == value for name, value in selected.items()]
    if before is not None:
        where.append(STATEMENTS.c.seq < before)
    return connection.execute(sa.select(STATEMENTS).where(*where).order_by(STATEMENTS.c.seq.desc()).limit(limit)).all()


def _statements(connection: sa.Connection, kind: str, keys: Iterable[Key]) -> list[Any]:
    """Return rows of one kind on these versions, oldest first."""
    found = rows_at(connection, keys, STATEMENTS.c.model, _COLUMNS, STATEMENTS.c.kind == kind)
    return sorted(found, key=lambda row: row.seq)


def _recorded(row: Any, parse: Callable[[bytes], S]) -> RecordedStatement[S]:
    with _readable(row.kind):
        statement = parse(base64.b64decode(json.loads(row.envelope)["payload"]))
    return RecordedStatement(row.digest, row.seq, row.keyid, row.at, statement)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        # the audit names an entry that was damaged
        return None


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Raise AttestationError if a stored record has another form than it should have."""
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise AttestationError("malformed", f"a stored {what} is not one: {shape_fault(error)}") from error
