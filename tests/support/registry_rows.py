"""A registry of any size, written straight into the tables: what years of training, gating and promoting leave behind.

Every slot has versions one hour apart. Of three, the first two pass and the third fails; a version that passed is
promoted, but for the newest, which waits as challenger. Ledger and statements are whole, but signed by nobody unless a
key ring is given: pages do not verify what they list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from mlflow.store.model_registry.dbmodels.models import (
    SqlModelVersion,
    SqlModelVersionTag,
    SqlRegisteredModel,
    SqlRegisteredModelAlias,
)
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun

from pipelines.registry.ledger.entry import Head, LedgerEntry, Principal
from pipelines.registry.lineage import BackboneName
from pipelines.registry.signing.envelope import ENTRY_TYPE, STATEMENT_TYPE, Envelope, sign
from pipelines.registry.signing.keys import KeyRing
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, Material
from pipelines.registry.verdict_statement import ChampionRef, EvidenceFile, Golden, VerdictStatement
from pipelines.server.ledger import HEAD, LEDGER, STATEMENTS
from tests.support.proof import DETAILS, FINGERPRINT

WHO = Principal("ann", False, "127.0.0.1")
_HOUR = timedelta(hours=1)
_BATCH = 5000


@dataclass
class Rows:
    """Rows by table, in the order in which they are inserted."""

    began: datetime
    ring: KeyRing | None = None
    reason: str = "its verdict passed"
    head: Head = field(default_factory=Head)
    tables: dict[Any, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, table: Any, **values: Any) -> None:
        self.tables.setdefault(table, []).append(values)

    def record(self, event: Any, slot: Slot, at: datetime, **values: Any) -> LedgerEntry:
        """The ledger's next entry."""
        who, reason = values.pop("who", WHO), values.pop("reason", "")
        entry = LedgerEntry(
            seq=self.head.seq + 1,
            prev=self.head.hash,
            at=at.isoformat(timespec="microseconds"),
            event=event,
            slot=str(slot),
            principal=who,
            reason=reason,
            **{"before": None, "after": None, "bundle": "", **values},
        )
        envelope = self._signed(entry.text.encode(), "ledger")
        self.add(LEDGER, seq=entry.seq, at=entry.at, slot=entry.slot, event=event, entry=entry.text, hash=entry.hash,
                 envelope=envelope.text, before_version=entry.before, after_version=entry.after)  # fmt: skip
        self.head = Head(entry.seq, entry.hash)
        return entry

    def state(self, event: Any, slot: Slot, version: int, statement: Any, at: datetime) -> str:
        """A statement with its entry; its digest."""
        envelope = self._signed(statement.payload, statement.kind)
        entry = self.record(event, slot, at, after=version, bundle=statement.bundle, statements=(envelope.digest,))
        about = (statement.outcome, "") if statement.kind == "verdict" else ("", statement.dataset)
        self.add(STATEMENTS, digest=envelope.digest, seq=entry.seq, kind=statement.kind, model=slot.model_name,
                 version=version, bundle=statement.bundle, fingerprint=statement.fingerprint, outcome=about[0],
                 dataset=about[1], keyid=envelope.keyid, envelope=envelope.text, at=entry.at)  # fmt: skip
        return envelope.digest

    def write(self, engine: sa.Engine) -> None:
        """Insert everything."""
        with engine.begin() as connection:
            for table, rows in self.tables.items():
                for start in range(0, len(rows), _BATCH):
                    connection.execute(sa.insert(table), rows[start : start + _BATCH])
            last = self.tables[LEDGER][-1]["at"]
            connection.execute(sa.update(HEAD).values(seq=self.head.seq, hash=self.head.hash, at=last))

    def _signed(self, payload: bytes, role: Any) -> Envelope:
        if self.ring is not None:
            return sign(payload, self.ring, role)
        return Envelope(payload, ENTRY_TYPE if role == "ledger" else STATEMENT_TYPE, "0" * 64, bytes(64))


def fill(
    engine: sa.Engine,
    slots: Sequence[Slot],
    versions: int | Sequence[int],
    ring: KeyRing | None = None,
    reason: str = "its verdict passed",
) -> None:
    """Write `versions` versions of each slot (of all, or one number for each); registry and runs are in one database.

    The newest is an hour old where all have as many, and older where another slot has more.
    """
    counts = [versions] * len(slots) if isinstance(versions, int) else versions
    rows = Rows(datetime.now(UTC) - max(counts) * _HOUR, ring, reason)
    for number, (slot, count) in enumerate(zip(slots, counts, strict=True), 1):
        _slot(rows, slot, 1000 + number, count)
    rows.write(engine)


def _slot(rows: Rows, slot: Slot, experiment: int, versions: int) -> None:
    model, champion = slot.model_name, None
    rows.add(SqlRegisteredModel.__table__, workspace="default", name=model, creation_time=_ms(rows.began))
    rows.add(SqlExperiment.__table__, experiment_id=experiment, name=model, workspace="default",
             lifecycle_stage="active", artifact_location=f"mlflow-artifacts:/{experiment}")  # fmt: skip
    for version in range(1, versions + 1):
        at = rows.began + (version - 1) * _HOUR
        digest = "sha256:" + hashlib.sha256(f"{model} {version}".encode()).hexdigest()
        run = f"{experiment:08x}{version:024x}"
        rows.add(SqlRun.__table__, run_uuid=run, experiment_id=experiment, name=f"v{version}", status="FINISHED",
                 user_id="ann", source_type="LOCAL", source_name="", entry_point_name="", source_version="",
                 start_time=_ms(at), lifecycle_stage="active",
                 artifact_uri=f"mlflow-artifacts:/{experiment}/{run}/artifacts")  # fmt: skip
        rows.add(SqlModelVersion.__table__, workspace="default", name=model, version=version, creation_time=_ms(at),
                 run_id=run, source=f"models:/m-{run}", current_stage="None", status="READY")  # fmt: skip
        rows.state("registered", slot, version, lineage(slot, version, digest, run), at)
        outcome = "failed" if version % 3 == 0 else "passed"
        made = verdict(slot, version, digest, outcome, champion, at)
        proof = rows.state("gated", slot, version, made, at)
        promoted = outcome == "passed" and version < versions
        status = "rejected" if outcome == "failed" else "retired" if promoted else "challenger"
        if promoted:
            rows.record("promoted", slot, at, before=champion[0] if champion else None, after=version, bundle=digest,
                        reason=rows.reason, statements=(proof,))  # fmt: skip
            champion = (version, digest)
        else:
            sentence = f"{slot} v{version}: the gate's verdict is {outcome}"
            rows.record("refused", slot, at, after=version, bundle=digest, reason=sentence, detail={"what": "promote"})
        _tags(rows, slot, version, digest, made, status)
    aliases = {"champion": champion[0] if champion else None, "challenger": versions if versions % 3 else None}
    for alias, version in aliases.items():
        if version is not None:
            rows.add(SqlRegisteredModelAlias.__table__, workspace="default", name=model, alias=alias, version=version)


ORIGIN = {"licence": "Apache-2.0", "commercial": "allowed", "source": "the package", "pretraining": "7.9 h"}
"""What the lineages say about the backbone."""


def lineage(slot: Slot, version: int, digest: str, run: str) -> LineageStatement:
    """A lineage with every material; three versions share a dataset version."""
    number = (version + 2) // 3
    return LineageStatement(
        model=slot.model_name,
        bundle=digest,
        files={"adapter_model.safetensors": "1" * 64},
        asked={"slot": str(slot), "dataset": slot.tag(number), "golden": slot.tag(1, "golden"), "seed": 0},
        given={"key": f"{slot}-{version}"},
        materials=(
            Material("dataset", {"gitCommit": "a" * 40, "dvcMd5": "d" * 32}, uri="/srv/workspace",
                     annotations={"tag": slot.tag(number), "clips": 400 + version, "seconds": 1234.5, "speakers": 7}),
            Material("clips", {"elpIds": "c" * 64}),
            Material("golden", {"elpIds": "e" * 64}, annotations={"tag": slot.tag(1, "golden"), "clips": 80}),
            Material("backbone", {"elpFingerprint": "f" * 64}, uri="elp:tiny", annotations=ORIGIN),
            Material("code", {"elpCode": "b" * 64}),
            Material("packages", {"elpLock": "9" * 64}),
        ),
        versions={"elp-foundry": "0.1.0"},
        run=run,
        finished="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def verdict(
    slot: Slot, version: int, digest: str, outcome: Any, champion: tuple[int, str] | None, at: datetime
) -> VerdictStatement:
    """A verdict whose error falls slowly from version to version; a failed one is 8 points worse."""
    value = round(0.05 + 0.1 / version + (0.08 if outcome == "failed" else 0.0), 4)
    before = round(0.05 + 0.1 / champion[0], 4) if champion else None
    return VerdictStatement(
        bundle=digest,
        slot=str(slot),
        model=slot.model_name,
        version=version,
        outcome=outcome,
        backbone=BackboneName("elp:tiny", FINGERPRINT),
        against=ChampionRef(*champion) if champion else None,
        first_version=champion is None,
        golden=Golden(slot.tag(1, "golden"), "sha256:" + "e" * 64),
        policy="sha256:" + "c" * 64,
        metric="eer" if slot.task == "asv" else "error_rate" if slot.task in ("ser", "sic") else "wer",
        challenger=value,
        champion=before,
        delta=None if before is None else round(value - before, 6),
        interval=None if before is None else (round(value - before - 0.01, 6), round(value - before + 0.01, 6)),
        evidence=EvidenceFile(f"gate/v{version}-abc/evidence.json", "0" * 64),
        decided_at=at.isoformat(timespec="microseconds"),
        challenger_interval=(round(value - 0.01, 6), round(value + 0.01, 6)),
        details=DETAILS,
    )


def _tags(rows: Rows, slot: Slot, version: int, digest: str, made: VerdictStatement, status: str) -> None:
    values = {
        "elp.verdict": made.outcome, "elp.status": status, "elp.metric": made.metric, "elp.value": f"{made.challenger}",
        "elp.dataset": slot.tag((version + 2) // 3), "elp.golden": made.golden.tag, "elp.seed": "0", "elp.dirty": "no",
        "elp.backbone": "elp:tiny", "elp.flow_run": "", "elp.code": "c" * 40, "elp.revision": "a" * 40,
        "elp.dvc_hash": "d" * 32, "elp.key": f"{slot}-{version}", "elp.bundle": digest, "elp.fingerprint": FINGERPRINT,
    }  # fmt: skip
    for key, value in values.items():
        rows.add(SqlModelVersionTag.__table__, workspace="default", name=slot.model_name, version=version, key=key,
                 value=value)  # fmt: skip


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
