"""The index of what the server records: the ledger's changes of champion, and the lineage of every adapter.

Nothing is verified here: the entries are as the server gives them. `pipelines.audit.verify` checks the whole chain.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pipelines.errors import AttestationError
from pipelines.registry.client import recorded_statements as server
from pipelines.registry.client import server_api as guard
from pipelines.registry.ledger.entry import MOVES, LedgerEntry, LedgerRow, read_entry
from pipelines.registry.signing.envelope import read_envelope
from pipelines.registry.statements import LineageStatement, Statement, parse_statement

Log = Callable[[str], None]
_SINGLY = 20
"""Up to so many new statements are asked for one by one."""


@dataclass(frozen=True)
class Stored:
    """A signed statement as the server keeps it."""

    digest: str
    """SHA-256 (hex) of its payload, by which the ledger names it."""
    kind: str
    """``lineage`` or ``verdict``."""
    model: str
    version: int
    at: str
    """When the server took it. UTC, ISO 8601."""
    envelope: str
    """DSSE envelope."""


class Records(Protocol):
    """What the audit asks of a server: its ledger and its statements, all of them however many."""

    @property
    def uri(self) -> str:
        """Address of the server."""

    def ledger(self, after: int = 0, slot: str = "") -> Iterator[LedgerRow]:
        """Entries with a number above `after`, in order; of one slot or of all."""

    def statements(self, kind: str = "", model: str = "", version: int | None = None) -> Iterator[Stored]:
        """Statements, of one kind, model or version or of all."""

    def statement(self, digest: str) -> Stored | None:
        """The statement of this digest, or None."""


@dataclass(frozen=True)
class ServerRecords:
    """The records of a guarded MLflow server, by its API."""

    uri: str

    def ledger(self, after: int = 0, slot: str = "") -> Iterator[LedgerRow]:
        """As `Records.ledger`."""
        for told in guard.ledger_rows(self.uri, after, slot):
            yield LedgerRow(int(told["seq"]), str(told["text"]), str(told["hash"]), str(told["envelope"]))

    def statements(self, kind: str = "", model: str = "", version: int | None = None) -> Iterator[Stored]:
        """As `Records.statements`; one of the three must be given."""
        wanted = {"kind": kind, "model": model, "version": version}
        given = {name: value for name, value in wanted.items() if value not in ("", None)}
        return map(_stored, server.every_statement(self.uri, **given))

    def statement(self, digest: str) -> Stored | None:
        """As `Records.statement`."""
        told = server.find_statement(self.uri, digest)
        return None if told is None else _stored(told)


def _stored(told: Mapping[str, Any]) -> Stored:
    texts = {name: str(told[name]) for name in ("digest", "kind", "model", "at", "envelope")}
    return Stored(version=int(told["version"]), **texts)


def sync(db: sqlite3.Connection, records: Records, log: Log) -> None:
    """Bring the index up to date with the server's ledger and lineage statements.

    Raises:
        ServiceError: where the server does not answer.
    """
    fresh = list(_fresh(db, records, log))
    for row in fresh:
        _take(db, row)
    if fresh:
        db.execute("DELETE FROM head")
        db.execute("INSERT INTO head VALUES (?, ?, ?)", (fresh[-1].seq, fresh[-1].hash, records.uri))
    _add_lineage(db, records)


def _fresh(db: sqlite3.Connection, records: Records, log: Log) -> Iterable[LedgerRow]:
    """Entries that the index has not seen; all of them where the ledger is another one than it knew."""
    found = db.execute("SELECT seq, hash FROM head").fetchone()
    if found is None:
        return records.ledger()
    seq, known = found
    rows = list(records.ledger(after=seq - 1))
    if rows and (rows[0].seq, rows[0].hash) == (seq, known):
        return rows[1:]
    log(f"the ledger at {records.uri} is not the one seen before (entry {seq}); look closer with: elp audit --verify")
    for name in ("head", "adapter", "reign"):
        db.execute(f"DELETE FROM {name}")
    return records.ledger()


def _take(db: sqlite3.Connection, row: LedgerRow) -> None:
    try:
        entry = read_entry(row.entry)
    except AttestationError:
        # an entry that cannot be read tells nothing; the verification names it
        return
    if entry.event in MOVES:
        _move(db, entry)
    elif entry.event == "registered" and entry.after is not None:
        db.execute(
            """INSERT INTO adapter (slot, version, bundle, registered, statement) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET statement = excluded.statement""",
            (entry.slot, entry.after, entry.bundle, entry.at, next(iter(entry.statements), "")),
        )
    elif entry.event == "deleted":
        # without a version, the whole model was deleted
        gone = "UPDATE adapter SET deleted = ? WHERE slot = ? AND deleted IS NULL AND ? IN (version, -1)"
        db.execute(gone, (entry.at, entry.slot, -1 if entry.after is None else entry.after))


def _move(db: sqlite3.Connection, entry: LedgerEntry) -> None:
    """End the reign that stands, and begin the next one unless the slot was left without a champion."""
    standing = db.execute("SELECT version FROM reign WHERE slot = ? AND until IS NULL", (entry.slot,)).fetchone()
    if entry.event == "retired" and (standing is None or standing[0] not in (entry.before, entry.after)):
        return
    db.execute("UPDATE reign SET until = ? WHERE slot = ? AND until IS NULL", (entry.at, entry.slot))
    if entry.after is None or entry.event == "retired":
        return
    values = (
        entry.slot,
        entry.seq,
        entry.after,
        entry.bundle,
        entry.at,
        entry.event,
        entry.principal.name,
        entry.reason,
    )
    db.execute("INSERT INTO reign VALUES (?, ?, ?, ?, ?, NULL, ?, ?, ?)", values)


def _add_lineage(db: sqlite3.Connection, records: Records) -> None:
    """Fill in what the lineage statements say, for adapters that lack it."""
    lacking = "SELECT DISTINCT statement FROM adapter WHERE fingerprint IS NULL AND statement != ''"
    wanted = {row[0] for row in db.execute(lacking)}
    if len(wanted) <= _SINGLY:
        stored = [found for digest in wanted if (found := records.statement(digest))]
    else:
        stored = [one for one in records.statements(kind="lineage") if one.digest in wanted]
    for one in stored:
        statement = statement_of(one)
        if not isinstance(statement, LineageStatement):
            continue
        values = (
            backbone_of(statement),
            statement.fingerprint,
            statement.dataset,
            named(statement, "dataset", "gitCommit"),
            str(statement.asked.get("golden", "")),
            "sha256:" + named(statement, "clips", "elpIds"),
            statement.run,
        )
        db.execute(
            """UPDATE adapter SET backbone = ?, fingerprint = ?, dataset = ?, revision = ?, golden = ?, clips = ?,
            run = ? WHERE statement = ?""",
            (*values, one.digest),
        )


def named(statement: LineageStatement, material: str, algorithm: str) -> str:
    """Digits of a material's digest; empty where the statement, of another trainer, does not name it so."""
    found = next((one for one in statement.materials if one.name == material), None)
    return found.digest.get(algorithm, "") if found else ""


def backbone_of(statement: LineageStatement) -> str:
    """What the trainer called the backbone."""
    return statement.material("backbone").uri


def statement_of(stored: Stored) -> Statement | None:
    """What a stored envelope says, its signature not verified; None where it says nothing that can be read."""
    try:
        return parse_statement(read_envelope(stored.envelope).payload)
    except AttestationError:
        return None
