"""Check the bytes in the artifact store: the bundle, each of its files, the evidence, the list of packages."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.errors import BundleError, ElpError, OpsError
from pipelines.audit.audit_phrases import outcome_text
from pipelines.audit.facts import Fact, compared
from pipelines.audit.server_records import backbone_of
from pipelines.gating.evidence import EVIDENCE_FILE, read_evidence, same_decision
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client import bundle_models as models
from pipelines.registry.client import runs as tracking
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.statements import LineageStatement
from pipelines.registry.verdict_statement import VerdictStatement
from pipelines.texts.english_phrases import phrase
from pipelines.training.provenance import code_digest, lineage_statement, lock_digest

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PACKAGES = "report/packages.txt"


def check_bundle(client: MlflowClient, version: AdapterVersion, signed: LineageStatement | None) -> tuple[Fact, ...]:
    """Download the bundle; check its digest, every file, and its lineage against the signed one."""
    from elp_core.bundle import bundle_digest, verify_bundle

    place = phrase("in the artifact store")
    with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
        try:
            # unverified, so that a changed bundle is reported file by file
            folder = models.download_unverified(client, version, Path(scratch))
            found, manifest = bundle_digest(folder), verify_bundle(folder)
        except BundleError as error:
            return (Fact(place, phrase("no intact bundle"), "failed", str(error)),)
        except OpsError as error:
            return (Fact(place, phrase("not read"), "not verified", str(error)),)
    if signed is None:
        return (Fact(place, found, "not verified", phrase("no signed lineage to compare it with")),)
    store = phrase("the artifact store")
    names = sorted(signed.files.keys() | manifest.files.keys())
    files = (compared(name, signed.files.get(name, ""), manifest.files.get(name, ""), store) for name in names)
    again = sha256(lineage_statement(signed.model, manifest).payload)
    return (
        compared(place, signed.bundle, found, store, tuple(files)),
        compared("lineage.json", sha256(signed.payload), again, phrase("the bundle's lineage.json")),
    )


def check_evidence(client: MlflowClient, version: AdapterVersion, signed: VerdictStatement) -> Fact:
    """Check the evidence in the run: its hash, its bundle, and the verdict decided again from its scores."""
    name, title = signed.evidence.path, phrase("evidence")

    def failed(why: str) -> Fact:
        return Fact(title, name, "failed", why)

    with tempfile.TemporaryDirectory(prefix="elp-audit-") as scratch:
        try:
            file = tracking.fetch_artifact(client, version.run_id, name, Path(scratch))
        except OpsError as error:
            return Fact(title, name, "not verified", str(error))
        if file is None:
            return failed(phrase("it is not among the artifacts of run %(run)s", run=version.run_id))
        sha = hashlib.sha256(file.read_bytes()).hexdigest()
        if sha != signed.evidence.sha256:
            return failed(
                phrase(
                    "its SHA-256 is %(found)s, the signed one is %(signed)s", found=sha, signed=signed.evidence.sha256
                )
            )
        try:
            evidence = read_evidence(file.with_name(EVIDENCE_FILE))
            again = evidence.recompute()
        except ElpError as error:
            return failed(str(error))
    if not same_decision(again, evidence.verdict) or again.outcome != signed.outcome:
        return failed(phrase("decided again from its scores: %(outcome)s", outcome=outcome_text(again.outcome)))
    about = evidence.context.challenger_bundle
    children = (compared(phrase("about the bundle"), signed.bundle, about, phrase("the evidence")),)
    return Fact(title, f"sha256:{sha}", "verified", phrase("decided again from its scores: the same"), children)


def check_training(client: MlflowClient, signed: LineageStatement) -> tuple[Fact, ...]:
    """Check code and packages: against the installed code, and against the list in the run."""
    code, here = "sha256:" + signed.digest_of("code", "elpCode"), code_digest()
    if here == code:
        trained = Fact(phrase("code"), code, "verified", phrase("the code installed here"))
    else:
        # other code is no fault: the adapter may have been trained by another release
        here_is = phrase("the code installed here is %(digest)s", digest=here)
        trained = Fact(phrase("code"), code, "not verified", here_is)
    lock, name = "sha256:" + signed.digest_of("packages", "elpLock"), phrase("packages")
    note: str = phrase("run %(run)s has no %(file)s", run=signed.run or phrase("unknown"), file=_PACKAGES)
    try:
        if packages := packages_of(client, signed):
            return trained, compared(name, lock, lock_digest(packages), phrase("%(file)s of the run", file=_PACKAGES))
    except OpsError as error:
        note = str(error)
    return trained, Fact(name, lock, "not verified", note)


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
        why = phrase("it cannot be loaded here: %(error)s", error=str(error).splitlines()[0])
        return Fact(phrase("weights"), name, "not verified", why)
    return compared(phrase("weights"), signed.fingerprint, found, phrase("%(name)s here", name=name))
