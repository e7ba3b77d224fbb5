"""The verdict in the registry: find a recorded one, or sign a new one for the server to write on the version."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.fail_points import durable_write
from pipelines.gating.evidence import EVIDENCE_FILE, Evidence
from pipelines.number_text import reported_rates
from pipelines.registry.adapter_version import AdapterVersion, GateRecord
from pipelines.registry.client import runs, server_api
from pipelines.registry.client.connection import answering
from pipelines.registry.ledger.entry import MOVES
from pipelines.registry.lineage import BackboneName
from pipelines.registry.signing.canonical_json import sha256, utc_now
from pipelines.registry.signing.envelope import read_envelope, sign
from pipelines.registry.signing.keys import load_trusted_keys
from pipelines.registry.statements import parse_statement
from pipelines.registry.verdict_statement import (
    ChampionRef,
    EvidenceFile,
    Golden,
    NamedOutcome,
    ReportedRate,
    VerdictDetails,
    VerdictStatement,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient


def find_recorded(
    client: MlflowClient, version: AdapterVersion, wanted: GateRecord, folder: Path, keep: bool
) -> Path | None:
    """Return the evidence folder of the verdict on the version if it is about what is `wanted`, and None otherwise.

    Evidence that is missing on this machine is downloaded into `folder`. `keep` accepts any passed verdict about
    this bundle, because the version is the champion. A verdict without a champion to compare with is not reused if the
    slot has had a champion since: the server refuses it as outdated.
    """
    record = version.gate_record
    if record is None or record.bundle != version.bundle_digest:
        return None
    same = dataclasses.replace(record, verdict="", evidence="", decided_at="") == wanted
    if not (same or (keep and record.verdict == "passed")):
        return None
    if wanted.champion is None and not keep and _champion_changed_since(client, version):
        return None
    place = folder / Path(record.evidence).name
    return place if (place / EVIDENCE_FILE).is_file() else _download(client, version.run_id, record.evidence, place)


def _champion_changed_since(client: MlflowClient, version: AdapterVersion) -> bool:
    """Return whether the slot's champion changed after the server recorded the version's newest verdict."""
    newest = next(_verdicts(client, version), None)
    entries = server_api.ledger_entries(client.tracking_uri, version.slot, after=newest.seq if newest else 0)
    return any(entry.event in MOVES for entry in entries)


def publish_verdict(
    client: MlflowClient,
    keys: Path,
    version: AdapterVersion,
    record: GateRecord,
    evidence: Evidence,
    folder: Path,
) -> None:
    """Upload evidence and metrics to the version's run, then sign the verdict and submit it to the server.

    The server writes tags, alias and description from the statement. If this is interrupted and called again, the
    result is the same: a verdict counts when the server has it.
    """
    digest = sha256((folder / EVIDENCE_FILE).read_bytes())
    statements = (parse_statement(read_envelope(row.envelope).payload) for row in _verdicts(client, version))
    place = f"{record.evidence}/{EVIDENCE_FILE}"
    # the server refuses to overwrite the evidence of a signed verdict
    if not any(isinstance(one, VerdictStatement) and one.evidence.path == place for one in statements):
        runs.log_folder(client, version.run_id, folder, record.evidence)
    verdict = evidence.verdict
    numbers = {f"golden.{verdict.metric}": verdict.challenger}
    if verdict.champion is not None and verdict.delta is not None:
        numbers |= {f"golden.{verdict.metric}.champion": verdict.champion, "golden.difference": verdict.delta}
    numbers |= {f"golden.{name}": rate for name, rate in reported_rates(evidence.context.challenger_also).items()}
    runs.log_metrics(client, version.run_id, numbers)
    envelope = sign(verdict_statement(version, record, evidence, digest).payload, load_trusted_keys(keys), "verdict")
    server_api.submit_statement(client.tracking_uri, version.slot.model_name, version.version, envelope.text)


def _verdicts(client: MlflowClient, version: AdapterVersion) -> Iterator[server_api.StoredStatement]:
    """Return the signed verdicts on a version that the server has, newest first."""
    slot, number = version.slot, version.version
    return server_api.list_statements(client.tracking_uri, model=slot.model_name, version=number, kind="verdict")


def verdict_statement(version: AdapterVersion, record: GateRecord, evidence: Evidence, digest: str) -> VerdictStatement:
    """Return the statement on a verdict whose evidence.json has this SHA-256 (hex), with the present time."""
    verdict, numbers = evidence.verdict, evidence.verdict.to_json()
    against = ChampionRef(record.champion, record.champion_bundle) if record.champion is not None else None
    return VerdictStatement(
        bundle=record.bundle,
        slot=str(version.slot),
        model=version.slot.model_name,
        version=version.version,
        outcome=verdict.outcome,
        backbone=BackboneName(**evidence.context.backbone),
        against=against,
        first_version=verdict.first_version,
        golden=Golden(record.golden, record.golden_digest),
        policy=record.policy,
        metric=verdict.metric,
        challenger=numbers["challenger"],
        champion=numbers["champion"],
        delta=numbers["delta"],
        interval=tuple(numbers["interval"]) if numbers["interval"] else None,
        evidence=EvidenceFile(f"{record.evidence}/{EVIDENCE_FILE}", digest),
        decided_at=utc_now(),
        challenger_interval=tuple(numbers["challenger_interval"]),
        details=VerdictDetails(
            champion_interval=tuple(numbers["champion_interval"]) if numbers["champion_interval"] else None,
            margin=verdict.policy.margin,
            limit=verdict.policy.limit,
            clips=verdict.clips,
            closed_set=verdict.closed_set,
            slices=tuple(
                NamedOutcome(found.name, found.outcome, "group" if found.kind == "group" else "")
                for found in verdict.slices
            ),
            checks=tuple(NamedOutcome(check.name, check.outcome) for check in verdict.checks),
            reasons=verdict.reasons,
        ),
        normaliser=verdict.normaliser,
        also=_reported(evidence, compared=against is not None),
        voices=verdict.policy.voices,
    )


def _reported(evidence: Evidence, compared: bool) -> tuple[ReportedRate, ...]:
    """Return the rates that decide nothing; the champion's are None if there was none to compare with."""
    before = evidence.context.champion_also
    rates = reported_rates(evidence.context.challenger_also).items()
    return tuple(ReportedRate(name, value, before.get(name) if compared else None) for name, value in rates)


@answering
def _download(client: MlflowClient, run_id: str, artifact: str, place: Path) -> Path | None:
    """Return the evidence among the run's artifacts as a local folder, or None if it is no longer there."""
    if not client.list_artifacts(run_id, artifact):
        return None
    place.parent.mkdir(parents=True, exist_ok=True)
    # next to its place, because a folder is only replaced whole within one file system
    with tempfile.TemporaryDirectory(prefix=".download-", dir=place.parent) as scratch:
        downloaded = Path(client.download_artifacts(run_id, artifact, scratch))
        shutil.rmtree(place, ignore_errors=True)
        with durable_write("downloaded report"):
            os.replace(downloaded, place)
    return place
