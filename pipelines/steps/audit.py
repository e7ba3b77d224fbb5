"""Where a version came from, down to hashes, and whether what can be recomputed cheaply is still so."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.errors import BundleError, ElpError, OpsError
from pipelines.clients import guard, models, registry, tracking
from pipelines.clients.versions import CHAMPION, AdapterVersion, GateRecord, Tags, policy_digest
from pipelines.errors import RegistryError, VersioningError
from pipelines.lineage.audit import Fact, compared
from pipelines.settings import Settings, Slot

if TYPE_CHECKING:
    from mlflow import MlflowClient


_CHANGES = ("promoted", "rolled back", "retired", "overridden", "override expired")


def audit(
    slot: Slot,
    settings: Settings,
    version: int | None = None,
    *,
    mlflow_uri: str,
    cache: Path,
    repository: str = "",
) -> Fact:
    """The lineage of a version as a tree; without a number, of the champion, or else of the newest version.

    Recomputed: the bundle's digest against the registry's tag, the lineage inside the bundle against the tags, the
    dataset tag against Git and its DVC hash, the verdict's subject against the bundle. What cannot be checked says why.

    Args:
        slot: The slot.
        settings: Of the workspace; the gate's policy is taken from them.
        version: Version to look at.
        mlflow_uri: Address of the MLflow server.
        cache: Folder for downloaded bundles.
        repository: The workspace's Git repository; empty leaves the data unchecked.

    Raises:
        RegistryError: where the slot has no such version.
        ServiceError: where MLflow is gone.
    """
    client = registry.connect(mlflow_uri)
    subject = _subject(client, slot, version)
    bundle, lineage = _bundle(client, subject, cache)
    children = (
        Fact("status", subject.status, note=", ".join(subject.aliases)),
        *([Fact("OVERRIDE, no verdict that counts", subject.override)] if subject.override else []),
        bundle,
        _dataset(subject, lineage, repository),
        _golden(lineage),
        _backbone(subject, lineage),
        _making(subject, lineage),
        _verdict(client, subject, settings),
        _changes(client, subject),
    )
    return Fact("adapter", subject.name, note=f"registered {subject.created}", children=children)


def _subject(client: MlflowClient, slot: Slot, version: int | None) -> AdapterVersion:
    if version is not None:
        return registry.get(client, slot, version)
    present = registry.find(client, slot, CHAMPION)
    if present is not None:
        return present
    every = registry.versions(client, slot)
    if not every:
        raise RegistryError(f"{slot} has no adapters yet; make one with: elp retrain {slot}")
    return every[0]


def _bundle(client: MlflowClient, subject: AdapterVersion, cache: Path) -> tuple[Fact, Mapping[str, Any] | None]:
    """The bundle's digest, recomputed from a fresh download, and the lineage inside it."""
    from elp_core.bundle import bundle_digest, verify_bundle

    with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
        try:
            folder = models.fetch(client, subject, Path(scratch))
            found = bundle_digest(folder)
            verify_bundle(folder)
        except BundleError as error:
            return Fact("bundle", subject.bundle_digest, "mismatch", str(error)), None
        except OpsError as error:
            return Fact("bundle", subject.bundle_digest, "unchecked", str(error)), None
        lineage: dict[str, Any] = json.loads((folder / "lineage.json").read_text(encoding="utf-8"))
        size = sum(path.stat().st_size for path in folder.iterdir())
    children = (Fact("training key", subject.key), Fact("size", f"{size / 1e6:.2f} MB"))
    return compared("bundle", subject.bundle_digest, found, "the registry", children), lineage


def _dataset(subject: AdapterVersion, lineage: Mapping[str, Any] | None, repository: str) -> Fact:
    tag, recorded = subject.tags.get(Tags.DATASET, ""), _inside(lineage, "dataset")
    revision = _tagged("Git revision", subject, Tags.REVISION, recorded.get("revision"))
    dvc_hash = _tagged("DVC hash", subject, Tags.DVC_HASH, recorded.get("dvc_hash"))
    checks = [Fact("in Git", tag, "unchecked", "no repository at hand")]
    if repository:
        from pipelines.steps.dataset import version_at

        try:
            there = version_at(repository, tag, subject.slot)
            checks = [
                compared("tag points to", subject.tags.get(Tags.REVISION, ""), there.revision, "Git"),
                compared("data at the tag", subject.tags.get(Tags.DVC_HASH, ""), there.dvc_hash, "Git"),
            ]
        except VersioningError as error:
            checks = [Fact("in Git", tag, "unchecked", str(error))]
    amount = Fact("amount", f"{recorded.get('clips', '?')} clips, {recorded.get('seconds', 0) / 60:.1f} minutes")
    return Fact("dataset", tag, children=(revision, dvc_hash, *checks, amount))


def _golden(lineage: Mapping[str, Any] | None) -> Fact:
    recorded = _inside(lineage, "golden")
    left_out = Fact("clips of training left out for it", str(_inside(lineage, "training").get("excluded", "?")))
    tag = str(recorded.get("tag") or "none")
    return Fact(
        "golden set",
        tag,
        note="in force at training",
        children=(Fact("digest", str(recorded.get("digest", ""))), left_out),
    )


def _backbone(subject: AdapterVersion, lineage: Mapping[str, Any] | None) -> Fact:
    recorded = _inside(lineage, "backbone").get("fingerprint")
    fingerprint = _tagged("fingerprint", subject, Tags.FINGERPRINT, recorded)
    return Fact("backbone", subject.tags.get(Tags.BACKBONE, ""), children=(fingerprint,))


def _making(subject: AdapterVersion, lineage: Mapping[str, Any] | None) -> Fact:
    code, packages, machine = (_inside(lineage, part) for part in ("code", "packages", "hardware"))
    dirty = "with uncommitted changes" if code.get("dirty") else ""
    gpu = machine.get("gpu") or "no GPU"
    return Fact(
        "made by",
        str(_inside(lineage, "").get("created", "")),
        children=(
            Fact("code", f"{code.get('version', '')} {code.get('revision', '')}".strip(), note=dirty),
            Fact("code digest", str(code.get("digest", ""))),
            Fact("packages", str(packages.get("lock", "")), note=f"torch {packages.get('torch', '?')}"),
            Fact("hardware", f"{machine.get('system', '')}, {machine.get('cores', '?')} cores, {gpu}"),
            Fact("seed", subject.tags.get(Tags.SEED, "")),
            Fact("Prefect flow run", subject.tags.get(Tags.FLOW_RUN, "") or "none: trained outside a flow"),
            Fact("MLflow run", subject.run_id),
        ),
    )


def _verdict(client: MlflowClient, subject: AdapterVersion, settings: Settings) -> Fact:
    record = subject.gate_record
    if record is None:
        return Fact("verdict", "not gated")
    now = policy_digest(settings.for_slot(subject.slot).gate)
    same = "the limits of elp.yaml now" if record.policy == now else "other limits than elp.yaml has now"
    against = f"v{record.champion}" if record.champion is not None else "no champion: first version"
    return Fact(
        "verdict",
        record.verdict,
        note=record.decided_at,
        children=(
            compared("about the bundle", record.bundle, subject.bundle_digest, "the version"),
            Fact("against", against, note=record.champion_bundle),
            Fact("on", record.golden, note=record.golden_digest),
            Fact("policy", record.policy, note=same),
            _evidence(client, subject, record),
        ),
    )


def _evidence(client: MlflowClient, subject: AdapterVersion, record: GateRecord) -> Fact:
    """The verdict, decided again from the scores in its evidence."""
    from pipelines.gate.evidence import EVIDENCE_FILE, read_evidence, recompute

    name = f"{record.evidence}/{EVIDENCE_FILE}"
    with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
        file = tracking.fetch_artifact(client, subject.run_id, name, Path(scratch)) if record.evidence else None
        if file is None:
            return Fact("evidence", record.evidence, "unchecked", f"not among the artifacts of run {subject.run_id}")
        try:
            told, again = read_evidence(file), recompute(file)
        except ElpError as error:
            return Fact("evidence", record.evidence, "mismatch", str(error))
    about = str(told.context.get("challenger_bundle", ""))
    if again != told.verdict or again.outcome != record.verdict:
        return Fact("evidence", record.evidence, "mismatch", f"decided again from its scores: {again.outcome}")
    children = (compared("about the bundle", record.bundle, about, "the evidence"),)
    return Fact("evidence", record.evidence, "ok", "decided again from its scores: the same", children)


def _changes(client: MlflowClient, subject: AdapterVersion) -> Fact:
    """Each time it became champion, or ceased to be, as the server's ledger tells it."""
    entries = guard.ledger(client.tracking_uri, subject.slot)
    changes = [e for e in entries if e["event"] in _CHANGES and subject.version in (e["from"], e["to"])]
    lines = tuple(Fact(_event(e, subject), e["at"], note=f"by {e['who']['name']}: {e['reason']}") for e in changes)
    return Fact("promotions", str(len(lines)) if lines else "none", children=lines)


def _event(entry: Mapping[str, Any], subject: AdapterVersion) -> str:
    told = str(entry["event"])
    if entry["to"] == subject.version:
        return told
    return "rolled back from" if told == "rolled back" else "retired"


def _tagged(name: str, subject: AdapterVersion, tag: str, inside: Any) -> Fact:
    recorded = subject.tags.get(tag, "")
    if inside is None:
        return Fact(name, recorded, "unchecked", "the bundle could not be read")
    return compared(name, recorded, str(inside), "the bundle's lineage")


def _inside(lineage: Mapping[str, Any] | None, part: str) -> Mapping[str, Any]:
    if lineage is None:
        return {}
    found: Mapping[str, Any] = lineage.get(part, {}) if part else lineage
    return found
