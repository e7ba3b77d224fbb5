"""A server's records in memory: real entries and statements, signed by throw-away keys, in the server's own tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from pipelines.audit.server_records import ServerRecords
from pipelines.errors import AttestationError
from pipelines.registry.client.server_api import StoredStatement
from pipelines.registry.ledger.entry import LedgerRow, read_entry, sign_entry
from pipelines.registry.registered_adapter import ChampionPeriod, RegisteredAdapter
from pipelines.registry.signing.envelope import read_envelope, sign
from pipelines.registry.signing.keys import KeyRing
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, Material, parse_statement
from pipelines.server.ledger import LEDGER, METADATA, STATEMENTS
from pipelines.server.read_models import adapter_history
from tests.support.proof import FINGERPRINT, entry, head_of, lineage


@dataclass
class Recorded(ServerRecords):
    """The records of a server, answered by its read models without a server."""

    uri: str = field(default="memory", kw_only=True)
    ring: KeyRing
    rows: list[LedgerRow] = field(default_factory=list)
    stored: list[StoredStatement] = field(default_factory=list)

    def check_server(self) -> None:
        """It answers."""

    def adapters(self, slot: str = "", fingerprint: str = "") -> list[RegisteredAdapter]:
        with self.connect() as connection:
            return adapter_history.registered_adapters(connection, slot, fingerprint)[0]

    def champion_periods(self, slot: str = "") -> list[ChampionPeriod]:
        with self.connect() as connection:
            return adapter_history.champion_periods(connection, slot)

    def champions_at(self, at: str, slot: str = "") -> tuple[list[ChampionPeriod], list[str]]:
        with self.connect() as connection:
            return adapter_history.champions_at(connection, at, slot)

    def ledger(self, slot: str = "") -> Iterator[LedgerRow]:
        return (row for row in self.rows if not slot or read_entry(row.entry).slot == slot)

    def statements(self, model: str, version: int | None = None) -> Iterator[StoredStatement]:
        return (one for one in reversed(self.stored) if one.model == model and version in (None, one.version))

    def statement(self, digest: str) -> StoredStatement | None:
        return next((one for one in self.stored if one.digest == digest), None)

    def connect(self) -> sa.Connection:
        """The records in the server's tables."""
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        METADATA.create_all(engine)
        seqs: dict[str, int] = {}
        with engine.begin() as connection:
            for row in self.rows:
                try:
                    made = read_entry(row.entry)
                except AttestationError:
                    values = {"at": "", "slot": "a/asr", "event": "promoted"}
                else:
                    values = {"at": made.at, "slot": made.slot, "event": made.event}
                    values |= {"before_version": made.before, "after_version": made.after}
                    seqs |= dict.fromkeys(made.statements, made.seq)
                connection.execute(sa.insert(LEDGER).values(**vars(row), **values))
            for one in self.stored:
                statement = parse_statement(read_envelope(one.envelope).payload)
                values = {"seq": seqs[one.digest], "bundle": statement.bundle, "fingerprint": statement.fingerprint}
                values |= {"dataset": getattr(statement, "dataset", ""), "outcome": "", "keyid": ""}
                connection.execute(sa.insert(STATEMENTS).values(vars(one) | values))
        return engine.connect()

    def write(self, event: str, slot: Slot, after: int | None, at: str, **over: Any) -> None:
        """One more entry, at ``2026-01-<at>``."""
        made = entry(head_of(self.rows), event=event, slot=str(slot), after=after, at=_day(at), **over)
        self.rows.append(sign_entry(made, self.ring))

    def register(
        self,
        slot: Slot,
        version: int,
        at: str,
        dataset: str,
        revision: str,
        ids: str,
        fingerprint: str = FINGERPRINT,
        bundle: str = "",
        **over: Any,
    ) -> LineageStatement:
        """A version with its lineage: dataset tag, commit, and the digest of the clips that it was trained on."""
        statement = lineage(
            model=slot.model_name,
            bundle=bundle or bundle_of(version),
            asked={"slot": str(slot), "dataset": dataset, "golden": "", "config": {"train": {"epochs": 2}}, "seed": 0},
            materials=(
                Material("dataset", {"gitCommit": revision, "dvcMd5": "d" * 32}, uri="/repository"),
                Material("clips", {"elpIds": ids.removeprefix("sha256:")}),
                Material("backbone", {"elpFingerprint": fingerprint.removeprefix("sha256:")}, uri="elp:tiny"),
                Material("code", {"elpCode": "c" * 64}, annotations={"version": "0.1.0", "dirty": False}),
                Material("packages", {"elpLock": "e" * 64}, annotations={"torch": "2"}),
            ),
            **over,
        )
        envelope = sign(statement.payload, self.ring, "lineage")
        self.stored.append(
            StoredStatement(envelope.digest, "lineage", 0, slot.model_name, version, _day(at), envelope.text)
        )
        self.write("registered", slot, version, at, bundle=statement.bundle, statements=(envelope.digest,))
        return statement


def champions(records: Recorded, slot: Slot, moves: Sequence[tuple[str, int | None, int | None, str]]) -> None:
    """Entries of (event, before, after, day)."""
    for event, before, after, day in moves:
        records.write(event, slot, after, day, before=before, bundle=bundle_of(after) if after else "")


def bundle_of(version: int) -> str:
    """Digest of the bundle that `Recorded.register` gives a version."""
    return "sha256:" + format(version % 16, "x") * 64


def _day(at: str) -> str:
    return f"2026-01-{at}T12:00:00.000000+00:00"
