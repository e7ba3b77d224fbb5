"""A server's records in memory: real entries and statements, signed by throw-away keys, as the guard writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.audit.server_index import Stored
from pipelines.registry.ledger.entry import LedgerRow, read_entry, sign_entry
from pipelines.registry.signing.envelope import sign
from pipelines.registry.signing.keys import KeyRing
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, Material
from tests.support.proof import FINGERPRINT, entry, head_of, lineage


@dataclass
class Recorded:
    """What `pipelines.audit.server_index.Records` asks for."""

    ring: KeyRing
    uri: str = "memory"
    rows: list[LedgerRow] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)

    def ledger(self, after: int = 0, slot: str = "") -> Iterator[LedgerRow]:
        return (row for row in self.rows if row.seq > after and (not slot or read_entry(row.entry).slot == slot))

    def statements(self, kind: str = "", model: str = "", version: int | None = None) -> Iterator[Stored]:
        wanted = (kind, model, version)
        for one in reversed(self.stored):
            if all(
                want in ("", None, have) for want, have in zip(wanted, (one.kind, one.model, one.version), strict=True)
            ):
                yield one

    def statement(self, digest: str) -> Stored | None:
        return next((one for one in self.stored if one.digest == digest), None)

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
        """A version with its lineage: dataset tag, commit, and the digest of the clips it learned from."""
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
        self.stored.append(Stored(envelope.digest, "lineage", slot.model_name, version, _day(at), envelope.text))
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
