"""What the audit asks of a server: adapters, champion periods, ledger entries and signed statements.

Nothing is verified here: `pipelines.audit.verify` checks entries and statements by their signatures.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pipelines.errors import AttestationError
from pipelines.registry.client import server_api
from pipelines.registry.client.server_api import StoredStatement
from pipelines.registry.ledger.entry import LedgerRow
from pipelines.registry.registered_adapter import ChampionPeriod, RegisteredAdapter
from pipelines.registry.signing.envelope import read_envelope
from pipelines.registry.statements import LineageStatement, Statement, parse_statement
from pipelines.registry.verdict_statement import VerdictStatement

Adapter = TypeVar("Adapter", bound=RegisteredAdapter)


@dataclass
class ServerRecords:
    """The records of the MLflow server at `uri`, through its API. An empty slot, model or fingerprint means all."""

    uri: str

    def check_server(self) -> None:
        """Raise a ServiceError with the next command if the server does not answer."""
        server_api.call_server(self.uri, "GET", "/status")

    def adapters(self, slot: str = "", fingerprint: str = "") -> list[RegisteredAdapter]:
        """Return every adapter ever registered; `fingerprint` may be the beginning of the backbone's."""
        return server_api.registered_records(self.uri, slot, fingerprint)

    def champion_periods(self, slot: str = "") -> list[ChampionPeriod]:
        """Return every champion period, in the order of the ledger."""
        answer = server_api.call_server(self.uri, "GET", "/champion-periods", params={"slot": slot or None})
        return [ChampionPeriod(**one) for one in answer["champion_periods"]]

    def with_periods(self, adapters: Iterable[Adapter], slots: Iterable[str] = ("",)) -> list[Adapter]:
        """Return the adapters with their champion periods, by slot and version; `slots` are those to ask for."""
        periods = defaultdict(list)
        for slot in slots:
            for period in self.champion_periods(slot):
                periods[period.slot].append(period)
        ordered = sorted(adapters, key=lambda one: (one.slot, one.version))
        return [adapter.with_periods(periods[adapter.slot]) for adapter in ordered]

    def champions_at(self, at: str, slot: str = "") -> tuple[list[ChampionPeriod], list[str]]:
        """Return the champions at a moment, and the slots that had none then but at another time."""
        answer = server_api.call_server(self.uri, "GET", "/champions", params={"at": at, "slot": slot or None})
        return [ChampionPeriod(**one) for one in answer["champions"]], list(answer["without"])

    def ledger(self, slot: str = "") -> Iterator[LedgerRow]:
        """Return the entries of the ledger, oldest first."""
        return server_api.ledger_rows(self.uri, slot)

    def statements(self, model: str, version: int | None = None) -> Iterator[StoredStatement]:
        """Return the statements about a model or one of its versions, newest first."""
        wanted: dict[str, str | int] = {"model": model} if version is None else {"model": model, "version": version}
        return server_api.list_statements(self.uri, **wanted)

    def statement(self, digest: str) -> StoredStatement | None:
        """Return the statement of this digest, or None."""
        return server_api.find_statement(self.uri, digest)


def backbone_of(statement: LineageStatement) -> str:
    """Return what the trainer called the backbone."""
    return statement.material("backbone").uri


def newest_statements(
    statements: Iterable[Statement | None],
) -> tuple[LineageStatement | None, VerdictStatement | None]:
    """Return the first lineage and the first verdict: the server sends the newest statement first."""
    known = list(statements)
    lineage = next((one for one in known if isinstance(one, LineageStatement)), None)
    return lineage, next((one for one in known if isinstance(one, VerdictStatement)), None)


def statement_of(stored: StoredStatement) -> Statement | None:
    """Parse a stored envelope without verifying its signature; None if it cannot be read."""
    try:
        return parse_statement(read_envelope(stored.envelope).payload)
    except AttestationError:
        return None
