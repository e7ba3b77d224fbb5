"""The bytes in the artifact store: the bundle, each of its files, the evidence, the list of packages."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.errors import BundleError, ElpError, OpsError
from pipelines.audit.facts import Fact, compared
from pipelines.audit.server_index import backbone_of, named
from pipelines.gating.evidence import EVIDENCE_FILE, read_evidence, recompute
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client import bundle_models as models
from pipelines.registry.client import runs as tracking
from pipelines.registry.statements import LineageStatement, VerdictStatement, statement_digest
from pipelines.training.lineage_statement import lineage_statement
from pipelines.training.provenance import code_digest, lock_digest

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PACKAGES = "report/packages.txt"


def check_bundle(client: MlflowClient, version: AdapterVersion, signed: LineageStatement | None) -> tuple[Fact, ...]:
    """A fresh download: its digest, every file, and the lineage inside against the signed one."""
    from elp_core.bundle import bundle_digest, verify_bundle

    with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
        try:
            folder = models.download_unverified(client, version, Path(scratch))
            found, manifest = bundle_digest(folder), verify_bundle(folder)
        except BundleError as error:
            return (Fact("in the artifact store", "no intact bundle", "mismatch", str(error)),)
        except OpsError as error:
            return (Fact("in the artifact store", "not read", "unchecked", str(error)),)
    if signed is None:
        return (Fact("in the artifact store", found, "unchecked", "no signed lineage to compare it with"),)
    names = sorted(signed.files.keys() | manifest.files.keys())
    files = [
        compared(name, signed.files.get(name, ""), manifest.files.get(name, ""), "the artifact store") for name in names
    ]
    again = statement_digest(lineage_statement(signed.model, manifest))
    return (
        compared("in the artifact store", signed.bundle, found, "the artifact store", tuple(files)),
        compared("lineage.json, stated again", statement_digest(signed), again, "the bundle's lineage.json"),
    )


def check_evidence(client: MlflowClient, version: AdapterVersion, signed: VerdictStatement) -> Fact:
    """The evidence as it lies in the run: its hash, whom it is about, and the verdict decided again from its scores."""
    name = signed.evidence.path
    with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
        try:
            file = tracking.fetch_artifact(client, version.run_id, name, Path(scratch))
        except OpsError as error:
            return Fact("evidence", name, "unchecked", str(error))
        if file is None:
            return Fact("evidence", name, "mismatch", f"it is not among the artifacts of run {version.run_id}")
        sha = hashlib.sha256(file.read_bytes()).hexdigest()
        if sha != signed.evidence.sha256:
            return Fact("evidence", name, "mismatch", f"it hashes to {sha}, signed was {signed.evidence.sha256}")
        try:
            told, again = read_evidence(file.with_name(EVIDENCE_FILE)), recompute(file)
        except ElpError as error:
            return Fact("evidence", name, "mismatch", str(error))
    if again != told.verdict or again.outcome != signed.outcome:
        return Fact("evidence", name, "mismatch", f"decided again from its scores: {again.outcome}")
    about = str(told.context.get("challenger_bundle", ""))
    children = (compared("about the bundle", signed.bundle, about, "the evidence"),)
    return Fact("evidence", f"sha256:{sha}", "ok", "decided again from its scores: the same", children)


def check_making(client: MlflowClient, signed: LineageStatement) -> tuple[Fact, ...]:
    """Code and packages: as far as they are here, or written down in the run."""
    code = "sha256:" + named(signed, "code", "elpCode")
    here = code_digest()
    same = here == code
    note = "the code installed here" if same else f"the code installed here is {here}"
    facts = [Fact("code", code, "ok" if same else "unchecked", note)]
    lock = "sha256:" + named(signed, "packages", "elpLock")
    try:
        packages = packages_of(client, signed)
    except OpsError as error:
        return (*facts, Fact("packages", lock, "unchecked", str(error)))
    if not packages:
        return (*facts, Fact("packages", lock, "unchecked", f"run {signed.run or 'unknown'} has no {_PACKAGES}"))
    return (*facts, compared("packages", lock, lock_digest(packages), f"{_PACKAGES} of the run"))


def packages_of(client: MlflowClient, signed: LineageStatement) -> list[str]:
    """``name==version`` of what was installed at training, as the run keeps it; empty where it does not."""
    with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
        file = tracking.fetch_artifact(client, signed.run, _PACKAGES, Path(scratch)) if signed.run else None
        return file.read_text(encoding="utf-8").removesuffix("\n").split("\n") if file else []


def check_backbone(signed: LineageStatement) -> Fact:
    """The fingerprint of the backbone by that name here, computed from its weights."""
    from elp_core.backbones import Backbone

    name = backbone_of(signed)
    try:
        found = Backbone.from_pretrained(name).fingerprint
    except (ElpError, OSError, ValueError) as error:
        return Fact("weights", name, "unchecked", f"it cannot be loaded here: {str(error).splitlines()[0]}")
    return compared("weights", signed.fingerprint, found, f"{name} here")
