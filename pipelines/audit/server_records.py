"""What the audit asks of a server: adapters, champion periods, ledger entries and signed statements.

Nothing is verified here: `pipelines.audit.verify` checks entries and statements by their signatures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.errors import AttestationError
from pipelines.registry.client.server_api import (
    StoredStatement,
    call_server,
    find_statement,
    ledger_rows,
    list_statements,
)
from pipelines.registry.ledger.entry import LedgerRow
from pipelines.registry.registered_adapter import ChampionPeriod, RegisteredAdapter
from pipelines.registry.signing.envelope import read_envelope
from pipelines.registry.statements import LineageStatement, Statement, parse_statement


@dataclass
class ServerRecords:
    """The records of an MLflow server, through its API. An empty slot, model or fingerprint means all."""

    uri: str
    """Address of the server."""

    def check_server(self) -> None:
        """Check that the server answers.

        Raises:
            ServiceError: It does not, and the next command.
        """
        call_server(self.uri, "GET", "/status")

    def adapters(self, slot: str = "", fingerprint: str = "") -> list[RegisteredAdapter]:
        """Return every adapter ever registered; `fingerprint` may be the beginning of the backbone's."""
        found: list[RegisteredAdapter] = []
        after = 0
        while True:
            wanted = {"slot": slot or None, "fingerprint": fingerprint or None, "after": after}
            page = call_server(self.uri, "GET", "/adapters", params=wanted)
            found += [RegisteredAdapter(**one) for one in page["adapters"]]
            if not page["adapters"]:
                return found
            after = int(page["last"])

    def champion_periods(self, slot: str = "") -> list[ChampionPeriod]:
        """Return every champion period, in the order of the ledger."""
        answer = call_server(self.uri, "GET", "/champion-periods", params={"slot": slot or None})
        return [ChampionPeriod(**one) for one in answer["champion_periods"]]

    def champions_at(self, at: str, slot: str = "") -> tuple[list[ChampionPeriod], list[str]]:
        """Return the champions at a moment, and the slots that had none then but at another time."""
        answer = call_server(self.uri, "GET", "/champions", params={"at": at, "slot": slot or None})
        return [ChampionPeriod(**one) for one in answer["champions"]], list(answer["without"])

    def ledger(self, slot: str = "") -> Iterator[LedgerRow]:
        """Return the entries of the ledger, oldest first."""
        return ledger_rows(self.uri, slot)

    def statements(self, model: str, version: int | None = None) -> Iterator[StoredStatement]:
        """Return the statements about a model or one of its versions, newest first."""
        wanted: dict[str, str | int] = {"model": model} if version is None else {"model": model, "version": version}
        return list_statements(self.uri, **wanted)

    def statement(self, digest: str) -> StoredStatement | None:
        """Return the statement of this digest, or None."""
        return find_statement(self.uri, digest)


def backbone_of(statement: LineageStatement) -> str:
    """Return what the trainer called the backbone."""
    return statement.material("backbone").uri


def statement_of(stored: StoredStatement) -> Statement | None:
    """Parse a stored envelope without verifying its signature; None if it cannot be read."""
    try:
        return parse_statement(read_envelope(stored.envelope).payload)
    except AttestationError:
        return None
