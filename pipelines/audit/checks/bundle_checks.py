"""Check the bytes in the artifact store: the bundle, each of its files, the evidence, the list of packages."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.errors import BundleError, ElpError, OpsError
from pipelines.audit.facts import Fact, compared
from pipelines.audit.server_records import backbone_of
from pipelines.gating.evidence import EVIDENCE_FILE, read_evidence, same_decision
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client import bundle_models as models
from pipelines.registry.client import runs as tracking
from pipelines.registry.statements import LineageStatement, statement_digest
from pipelines.registry.verdict_statement import VerdictStatement
from pipelines.training.provenance import code_digest, lineage_statement, lock_digest

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PACKAGES = "report/packages.txt"


def check_bundle(client: MlflowClient, version: AdapterVersion, signed: LineageStatement | None) -> tuple[Fact, ...]:
    """Download the bundle; check its digest, every file, and its lineage against the signed one."""
    from elp_core.bundle import bundle_digest, verify_bundle

    with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
        try:
            folder = models.download_unverified(client, version, Path(scratch))
            found, manifest = bundle_digest(folder), verify_bundle(folder)
        except BundleError as error:
            return (Fact("in the artifact store", "no intact bundle", "failed", str(error)),)
        except OpsError as error:
            return (Fact("in the artifact store", "not read", "not verified", str(error)),)
    if signed is None:
        return (Fact("in the artifact store", found, "not verified", "no signed lineage to compare it with"),)
    names = sorted(signed.files.keys() | manifest.files.keys())
    files = [
        compared(name, signed.files.get(name, ""), manifest.files.get(name, ""), "the artifact store") for name in names
    ]
    again = statement_digest(lineage_statement(signed.model, manifest))
    return (
        compared("in the artifact store", signed.bundle, found, "the artifact store", tuple(files)),
        compared("lineage.json", statement_digest(signed), again, "the bundle's lineage.json"),
    )


def check_evidence(client: MlflowClient, version: AdapterVersion, signed: VerdictStatement) -> Fact:
    """Check the evidence in the run: its hash, its bundle, and the verdict decided again from its scores."""
    name = signed.evidence.path
    with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
        try:
            file = tracking.fetch_artifact(client, version.run_id, name, Path(scratch))
        except OpsError as error:
            return Fact("evidence", name, "not verified", str(error))
        if file is None:
            return Fact("evidence", name, "failed", f"it is not among the artifacts of run {version.run_id}")
        sha = hashlib.sha256(file.read_bytes()).hexdigest()
        if sha != signed.evidence.sha256:
            return Fact("evidence", name, "failed", f"its SHA-256 is {sha}, the signed one is {signed.evidence.sha256}")
        try:
            evidence = read_evidence(file.with_name(EVIDENCE_FILE))
            again = evidence.recompute()
        except ElpError as error:
            return Fact("evidence", name, "failed", str(error))
    if not same_decision(again, evidence.verdict) or again.outcome != signed.outcome:
        return Fact("evidence", name, "failed", f"decided again from its scores: {again.outcome}")
    about = evidence.context.challenger_bundle
    children = (compared("about the bundle", signed.bundle, about, "the evidence"),)
    return Fact("evidence", f"sha256:{sha}", "verified", "decided again from its scores: the same", children)


def check_training(client: MlflowClient, signed: LineageStatement) -> tuple[Fact, ...]:
    """Check code and packages: against the installed code, and against the list in the run."""
    code = "sha256:" + signed.digest_of("code", "elpCode")
    here = code_digest()
    same = here == code
    note = "the code installed here" if same else f"the code installed here is {here}"
    facts = [Fact("code", code, "verified" if same else "not verified", note)]
    lock = "sha256:" + signed.digest_of("packages", "elpLock")
    try:
        packages = packages_of(client, signed)
    except OpsError as error:
        return (*facts, Fact("packages", lock, "not verified", str(error)))
    if not packages:
        return (*facts, Fact("packages", lock, "not verified", f"run {signed.run or 'unknown'} has no {_PACKAGES}"))
    return (*facts, compared("packages", lock, lock_digest(packages), f"{_PACKAGES} of the run"))


def packages_of(client: MlflowClient, signed: LineageStatement) -> list[str]:
    """Return ``name==version`` of what was installed at training, from the run; empty if the run has no list."""
    with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
        file = tracking.fetch_artifact(client, signed.run, _PACKAGES, Path(scratch)) if signed.run else None
        return file.read_text(encoding="utf-8").removesuffix("\n").split("\n") if file else []


def check_backbone(signed: LineageStatement) -> Fact:
    """Compute the fingerprint of the backbone of that name here from its weights."""
    from elp_core.backbones import Backbone

    name = backbone_of(signed)
    try:
        found = Backbone.from_pretrained(name).fingerprint
    except (ElpError, OSError, ValueError) as error:
        return Fact("weights", name, "not verified", f"it cannot be loaded here: {str(error).splitlines()[0]}")
    return compared("weights", signed.fingerprint, found, f"{name} here")
