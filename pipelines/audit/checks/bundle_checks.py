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
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.statements import LineageStatement
from pipelines.registry.verdict_statement import VerdictStatement
from pipelines.training.lineage_statement import lineage_statement
from pipelines.training.provenance import code_digest, lock_digest

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PACKAGES = "report/packages.txt"


def check_bundle(client: MlflowClient, version: AdapterVersion, signed: LineageStatement | None) -> tuple[Fact, ...]:
    """Download the bundle; check its digest, every file, and its lineage against the signed one."""
    from elp_core.bundle import bundle_digest, verify_bundle

    with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
        try:
            # unverified, so that a changed bundle is reported file by file
            folder = models.download_unverified(client, version, Path(scratch))
            found, manifest = bundle_digest(folder), verify_bundle(folder)
        except BundleError as error:
            return (Fact("in the artifact store", "no intact bundle", "failed", str(error)),)
        except OpsError as error:
            return (Fact("in the artifact store", "not read", "not verified", str(error)),)
    if signed is None:
        return (Fact("in the artifact store", found, "not verified", "no signed lineage to compare it with"),)
    store = "the artifact store"
    names = sorted(signed.files.keys() | manifest.files.keys())
    files = (compared(name, signed.files.get(name, ""), manifest.files.get(name, ""), store) for name in names)
    again = sha256(lineage_statement(signed.model, manifest).payload)
    return (
        compared("in the artifact store", signed.bundle, found, store, tuple(files)),
        compared("lineage.json", sha256(signed.payload), again, "the bundle's lineage.json"),
    )


def check_evidence(client: MlflowClient, version: AdapterVersion, signed: VerdictStatement) -> Fact:
    """Check the evidence in the run: its hash, its bundle, and the verdict decided again from its scores."""
    name = signed.evidence.path

    def failed(why: str) -> Fact:
        return Fact("evidence", name, "failed", why)

    with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
        try:
            file = tracking.fetch_artifact(client, version.run_id, name, Path(scratch))
        except OpsError as error:
            return Fact("evidence", name, "not verified", str(error))
        if file is None:
            return failed(f"it is not among the artifacts of run {version.run_id}")
        sha = hashlib.sha256(file.read_bytes()).hexdigest()
        if sha != signed.evidence.sha256:
            return failed(f"its SHA-256 is {sha}, the signed one is {signed.evidence.sha256}")
        try:
            evidence = read_evidence(file.with_name(EVIDENCE_FILE))
            again = evidence.recompute()
        except ElpError as error:
            return failed(str(error))
    if not same_decision(again, evidence.verdict) or again.outcome != signed.outcome:
        return failed(f"decided again from its scores: {again.outcome}")
    about = evidence.context.challenger_bundle
    children = (compared("about the bundle", signed.bundle, about, "the evidence"),)
    return Fact("evidence", f"sha256:{sha}", "verified", "decided again from its scores: the same", children)


def check_training(client: MlflowClient, signed: LineageStatement) -> tuple[Fact, ...]:
    """Check code and packages: against the installed code, and against the list in the run."""
    code, here = "sha256:" + signed.digest_of("code", "elpCode"), code_digest()
    if here == code:
        trained = Fact("code", code, "verified", "the code installed here")
    else:
        # other code is no fault: the adapter may have been trained by another release
        trained = Fact("code", code, "not verified", f"the code installed here is {here}")
    lock, note = (
        "sha256:" + signed.digest_of("packages", "elpLock"),
        f"run {signed.run or 'unknown'} has no {_PACKAGES}",
    )
    try:
        if packages := packages_of(client, signed):
            return trained, compared("packages", lock, lock_digest(packages), f"{_PACKAGES} of the run")
    except OpsError as error:
        note = str(error)
    return trained, Fact("packages", lock, "not verified", note)


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
