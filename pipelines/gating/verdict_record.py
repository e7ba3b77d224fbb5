"""A verdict in the registry: found again, and signed for the server to write on its version."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.gating.evidence import EVIDENCE_FILE, read_evidence
from pipelines.registry.adapter_version import AdapterVersion, GateRecord
from pipelines.registry.client import runs as tracking
from pipelines.registry.client import server_api as guard
from pipelines.registry.client.connection import answering
from pipelines.registry.ledger.entry import MOVES
from pipelines.registry.lineage import BackboneName
from pipelines.registry.signing.canonical_json import sha256, utc_now
from pipelines.registry.signing.envelope import read_envelope, sign
from pipelines.registry.signing.keys import load_trusted_keys
from pipelines.registry.statements import (
    Against,
    EvidenceFile,
    Golden,
    NamedOutcome,
    VerdictDetails,
    VerdictStatement,
    parse_statement,
)
from pipelines.registry.verdict import Verdict

if TYPE_CHECKING:
    from mlflow import MlflowClient


def recorded(
    client: MlflowClient, version: AdapterVersion, wanted: GateRecord, folder: Path, keep: bool
) -> Path | None:
    """The evidence folder of the verdict the version carries, if it is about what is `wanted`; None otherwise.

    Args:
        client: Connection to the MLflow server.
        version: The version to judge.
        wanted: What the verdict would be about; its verdict and time do not matter.
        folder: Where the evidence lies, or is fetched to.
        keep: Any passed verdict about this bundle counts: the version serves already.

    A verdict without a champion to compare with is signed anew where the slot has had one since: the server takes the
    old one for what it is, from before.
    """
    record = version.gate_record
    if record is None or record.bundle != version.bundle_digest:
        return None
    same = dataclasses.replace(record, verdict="", decided_at="") == dataclasses.replace(wanted, verdict="")
    if not (same or (keep and record.verdict == "passed")):
        return None
    if wanted.champion is None and not keep and _outlived(client, version):
        return None
    place = folder.parent / Path(record.evidence).name
    return place if (place / EVIDENCE_FILE).is_file() else _fetch(client, version.run_id, record.evidence, place)


def _outlived(client: MlflowClient, version: AdapterVersion) -> bool:
    """Whether the slot's champion changed after the server recorded the version's newest verdict."""
    uri = client.tracking_uri
    known = guard.list_statements(uri, model=version.slot.model_name, version=version.version, kind="verdict")
    after = int(known[0]["seq"]) if known else 0
    return any(entry["event"] in MOVES for entry in guard.ledger_entries(uri, version.slot, after=after))


def publish(client: MlflowClient, keys: Path, version: AdapterVersion, record: GateRecord, folder: Path) -> None:
    """Put evidence and numbers in the version's run, then sign the verdict and hand it to the server.

    The server writes tags, alias and description from the statement. Cut off anywhere and called again, it ends in the
    same state: a verdict counts when the server has it.

    Args:
        client: Connection to the MLflow server.
        keys: Folder with a private key of the role ``verdict``.
        version: The version that was judged.
        record: What the verdict is about.
        folder: Of the evidence, on this machine.

    Raises:
        GateRefused: where the server does not take the statement.
        ServiceError: where no guarded server answers.
    """
    if not _uploaded(client, version, record):
        tracking.log_folder(client, version.run_id, folder, record.evidence)
    tracking.log_metrics(client, version.run_id, _metrics(read_evidence(folder).verdict))
    envelope = sign(verdict_statement(version, record, folder).payload, load_trusted_keys(keys), "verdict")
    guard.submit_statement(client.tracking_uri, version.slot.model_name, version.version, envelope.text)


def _uploaded(client: MlflowClient, version: AdapterVersion, record: GateRecord) -> bool:
    """Whether a signed verdict stands on this evidence already: the server then keeps it as it is."""
    known = guard.list_statements(
        client.tracking_uri, model=version.slot.model_name, version=version.version, kind="verdict"
    )
    found = [parse_statement(read_envelope(row["envelope"]).payload) for row in known]
    place = f"{record.evidence}/{EVIDENCE_FILE}"
    return any(isinstance(statement, VerdictStatement) and statement.evidence.path == place for statement in found)


def verdict_statement(version: AdapterVersion, record: GateRecord, folder: Path) -> VerdictStatement:
    """The statement on the verdict whose evidence lies in `folder`, dated now."""
    evidence = read_evidence(folder)
    verdict, numbers = evidence.verdict, evidence.verdict.to_json()
    against = Against(record.champion, record.champion_bundle) if record.champion is not None else None
    return VerdictStatement(
        bundle=record.bundle,
        slot=str(version.slot),
        model=version.slot.model_name,
        version=version.version,
        outcome=verdict.outcome,
        backbone=BackboneName(**evidence.context["backbone"]),
        against=against,
        first_version=verdict.first_version,
        golden=Golden(record.golden, record.golden_digest),
        policy=record.policy,
        metric=verdict.metric,
        challenger=numbers["challenger"],
        champion=numbers["champion"],
        delta=numbers["delta"],
        interval=tuple(numbers["interval"]) if numbers["interval"] else None,
        evidence=EvidenceFile(f"{record.evidence}/{EVIDENCE_FILE}", sha256((folder / EVIDENCE_FILE).read_bytes())),
        decided_at=utc_now(),
        challenger_interval=tuple(numbers["challenger_interval"]),
        details=VerdictDetails(
            champion_interval=tuple(numbers["champion_interval"]) if numbers["champion_interval"] else None,
            margin=verdict.policy.margin,
            limit=verdict.policy.limit,
            clips=verdict.clips,
            closed_set=verdict.closed_set,
            slices=tuple(NamedOutcome(found.name, found.outcome) for found in verdict.slices),
            checks=tuple(NamedOutcome(check.name, check.outcome) for check in verdict.checks),
            reasons=verdict.reasons,
        ),
    )


@answering
def _fetch(client: MlflowClient, run_id: str, artifact: str, place: Path) -> Path | None:
    """The evidence among the run's artifacts as a local folder; None where it is gone from there."""
    if not client.list_artifacts(run_id, artifact):
        return None
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=place.parent) as scratch:
        came = Path(client.download_artifacts(run_id, artifact, scratch))
        shutil.rmtree(place, ignore_errors=True)
        os.replace(came, place)
    return place


def _metrics(verdict: Verdict) -> dict[str, float]:
    numbers = {f"golden.{verdict.metric}": verdict.challenger}
    if verdict.champion is not None and verdict.delta is not None:
        numbers |= {f"golden.{verdict.metric}.champion": verdict.champion, "golden.difference": verdict.delta}
    return numbers
