"""A server's database as an auditor, or an attacker, opens it: without the server, row by row."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy

from pipelines.registry.ledger.chain import Chain, verify_chain
from pipelines.registry.ledger.entry import LedgerEntry, LedgerRow, read_entry
from pipelines.registry.ledger.ledger_checkpoint import read_ledger_checkpoint
from pipelines.registry.signing.keys import load_trusted_keys
from tests.support.contest import Contest
from tests.support.guarded_server import GuardedServer

MOVES = ("promoted", "rolled back", "retired", "overridden", "override expired")


@dataclass(frozen=True)
class DatabaseSnapshot:
    """The ledger and the aliases of one moment."""

    rows: tuple[LedgerRow, ...]
    aliases: dict[tuple[str, str], int]
    """Version by model and alias."""

    @property
    def entries(self) -> list[LedgerEntry]:
        """The ledger's entries, oldest first."""
        return [read_entry(row.entry) for row in self.rows]

    def moves(self, slot: str) -> list[LedgerEntry]:
        """Every change of a slot's champion."""
        return [entry for entry in self.entries if entry.slot == slot and entry.event in MOVES]


@contextlib.contextmanager
def database(server: GuardedServer) -> Iterator[sqlalchemy.Connection]:
    """Connect to the database; what is written is committed at the end of the block."""
    engine = sqlalchemy.create_engine(server.database, poolclass=sqlalchemy.pool.NullPool)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def run(server: GuardedServer, statement: str, **values: Any) -> list[Any]:
    """Run one SQL statement past the server; return its rows, if it has any."""
    with database(server) as connection:
        result = connection.execute(sqlalchemy.text(statement), values)
        return list(result) if result.returns_rows else []


def read_snapshot(server: GuardedServer) -> DatabaseSnapshot:
    """Read ledger and aliases in one transaction."""
    with database(server) as connection:
        rows = connection.execute(sqlalchemy.text("select seq, entry, hash, envelope from elp_ledger order by seq"))
        ledger = tuple(LedgerRow(int(seq), str(entry), str(digest), str(text)) for seq, entry, digest, text in rows)
        found = connection.execute(sqlalchemy.text("select name, alias, version from registered_model_aliases"))
        aliases = {(str(name), str(alias)): int(version) for name, alias, version in found}
    return DatabaseSnapshot(ledger, aliases)


def check_snapshot(server: GuardedServer, snapshot: DatabaseSnapshot) -> Chain:
    """Verify the chain with the server's keys and anchor."""
    return verify_chain(snapshot.rows, load_trusted_keys(server.keys), read_ledger_checkpoint(server.anchor))


def agree(contest: Contest, said: list[dict[str, Any]], *, all_answered: bool) -> None:
    """Check that the chain, the alias and the answers to the callers agree.

    Args:
        contest: The slot.
        said: The answers to the movers.
        all_answered: Whether every change must have been answered: no process was killed.
    """
    snapshot = read_snapshot(contest.server)
    chain = check_snapshot(contest.server, snapshot)
    assert chain.whole, [str(fault) for fault in chain.faults]
    moves = snapshot.moves(contest.slot)
    assert snapshot.aliases.get((contest.model, "champion")) == moves[-1].after
    assert [move.before for move in moves[1:]] == [move.after for move in moves[:-1]], "a change is missing"
    answered = {entry["seq"]: (entry["event"], entry["from"], entry["to"]) for entry in said if entry.get("seq")}
    written = {move.seq: (move.event, move.before, move.after) for move in moves if move.seq > contest.mark}
    assert {seq: written.get(seq) for seq in answered} == answered, "acknowledged and lost"
    if all_answered:
        assert written == answered, "written without an answer"
        refused = [
            e for e in snapshot.entries if e.seq > contest.mark and (e.slot, e.event) == (contest.slot, "refused")
        ]
        assert sorted(e.reason for e in refused) == sorted(e["refused"] for e in said if "refused" in e)
