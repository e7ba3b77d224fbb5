"""Versions and statements made request by request: real bundles from the goldens, real signatures, no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elp_core.bundle.format import CARD, FILES, MANIFEST, digest_of, render_manifest
from pipelines.registry.lineage import BackboneName
from pipelines.registry.pyfunc.served_files import CODE
from pipelines.registry.signing.envelope import sign
from pipelines.registry.signing.keys import KeyRing
from pipelines.registry.statements import LineageStatement, Material
from pipelines.registry.verdict import Outcome
from pipelines.registry.verdict_statement import ChampionRef, EvidenceFile, Golden, VerdictStatement
from tests.support.proof import DETAILS
from tests.support.rest import Rest

GOLDEN_BUNDLE = Path(__file__).resolve().parents[1] / "goldens" / "bundles" / "0.1.0-asr"
API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
ELP = "/elp/api/v1"
MLMODEL = """
flavors:
  python_function:
    artifacts: {bundle: {path: artifacts/bundle, uri: /trained/here/bundle}}
    loader_module: mlflow.pyfunc.loaders.code_model
    model_code_path: /trained/here/adapter.py
"""
NOON = "2026-01-01T12:00:00.000000+00:00"


@dataclass(frozen=True)
class Made:
    """A registered version and what it consists of."""

    model: str
    version: int
    bundle: str
    """``sha256:…``"""
    files: dict[str, bytes]
    fingerprint: str
    run_id: str
    model_id: str
    folder: str
    """Of the logged model, among the artifacts: ``1/models/m-…/artifacts``."""

    @property
    def slot(self) -> str:
        """``SITE/TASK``."""
        return self.model.removeprefix("elp.").replace(".", "/")

    @property
    def tensors(self) -> str:
        """Return the path of the adapter's weights among the artifacts."""
        return f"{self.folder}/artifacts/bundle/adapter_model.safetensors"

    @property
    def evidence(self) -> str:
        """Return the path of the gate's evidence among the artifacts."""
        return f"{self.folder.split('/')[0]}/{self.run_id}/artifacts/gate/v{self.version}/evidence.json"


def bundle_files(mark: str) -> dict[str, bytes]:
    """A real bundle whose card says `mark`, so that each mark has a digest of its own."""
    files = {name: (GOLDEN_BUNDLE / name).read_bytes() for name in FILES}
    files[CARD] += f"\n{mark}\n".encode()
    return {**files, MANIFEST: render_manifest(files)}


def register(
    rest: Rest,
    model: str,
    mark: str,
    *,
    lineage: KeyRing | None,
    tags: bool = True,
    before_registration: Callable[[str], None] = lambda path: None,
    fingerprint: str = "",
    backbone: str = "",
    parent: str = "",
) -> Made:
    """Log a bundle and register it, as `elp train` does.

    Args:
        rest: The server.
        model: Registered model.
        mark: Whatever is new about this bundle.
        lineage: Keys to sign its lineage with; None posts none.
        tags: Whether it gets the tags of a trained version.
        before_registration: Called with the path of the weights when they are logged, before the version exists.
        fingerprint: Of another backbone than the bundle's own.
        backbone: What the version's tag calls the backbone; empty means no such tag.
        parent: Bundle that its lineage names as its start.
    """
    experiment = _experiment(rest, model)
    run_id = rest.post(f"{API}/runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
    logged = rest.post(
        f"{API}/logged-models", {"experiment_id": experiment, "name": "adapter", "source_run_id": run_id}
    )["model"]["info"]
    model_id, files = str(logged["model_id"]), bundle_files(mark)
    if fingerprint:
        files = _on_backbone(files, fingerprint)
    folder = f"{experiment}/models/{model_id}/artifacts"
    for name, content in {"adapter.py": CODE.read_bytes(), "MLmodel": MLMODEL.encode()}.items():
        upload(rest, f"{folder}/{name}", content)
    for name, content in files.items():
        upload(rest, f"{folder}/artifacts/bundle/{name}", content)
    rest("PATCH", f"{API}/logged-models/{model_id}", {"model_id": model_id, "status": 2})
    before_registration(f"{folder}/artifacts/bundle/adapter_model.safetensors")
    config = json.loads(files["adapter_config.json"])
    fingerprint, digest = str(config["backbone"]["fingerprint"]), digest_of(files[MANIFEST])
    rest("POST", f"{API}/registered-models/create", {"name": model})
    created = rest.post(
        f"{API}/model-versions/create",
        {
            "name": model,
            "source": f"models:/{model_id}",
            "run_id": run_id,
            "model_id": model_id,
            "description": f"Candidate {mark}, not gated yet.",
            "tags": _tags(mark, digest, fingerprint, backbone) if tags else [],
        },
    )["model_version"]
    made = Made(model, int(created["version"]), digest, files, fingerprint, run_id, model_id, folder)
    if lineage:
        state(rest, made, lineage_of(made, parent).payload, lineage, "lineage")
    return made


def _on_backbone(files: dict[str, bytes], fingerprint: str) -> dict[str, bytes]:
    """The files of a bundle that says that it belongs to another backbone."""
    config = json.loads(files["adapter_config.json"])
    own = config["backbone"]["fingerprint"].encode()
    changed = {name: content.replace(own, fingerprint.encode()) for name, content in files.items() if name != MANIFEST}
    return {**changed, MANIFEST: render_manifest(changed)}


def upload(rest: Rest, path: str, content: bytes) -> None:
    """Put one file among the artifacts."""
    answer = rest("PUT", f"{ARTIFACTS}/{path}", body=content)
    assert answer.status == 200, f"PUT {path}: {answer.status} {answer.text[:300]}"


def state(rest: Rest, made: Made, payload: bytes, keys: KeyRing, role: Any) -> dict[str, Any]:
    """Sign a statement about a version and post it."""
    return rest.post(f"{ELP}/statements", posted(made, sign(payload, keys, role).text))


def posted(made: Made, envelope: str) -> dict[str, Any]:
    """The body that posts an envelope."""
    return {"model": made.model, "version": made.version, "envelope": json.loads(envelope)}


def lineage_of(made: Made, parent: str = "") -> LineageStatement:
    """What the bundle was made from."""
    digests = {
        "dataset": {"gitCommit": "a" * 40, "dvcMd5": "d" * 32},
        "golden": {"sha256": "e" * 64},
        "backbone": {"elpFingerprint": made.fingerprint.removeprefix("sha256:")},
        "code": {"sha256": "c" * 64},
        "packages": {"sha256": "b" * 64},
        "clips": {"sha256": "f" * 64},
    } | ({"parent": {"elpBundle": parent.removeprefix("sha256:")}} if parent else {})
    return LineageStatement(
        model=made.model,
        bundle=made.bundle,
        files={name: hashlib.sha256(content).hexdigest() for name, content in sorted(made.files.items())},
        asked={"slot": made.slot, "dataset": f"data/{made.slot}/v1", "golden": f"golden/{made.slot}/v1", "seed": 0},
        given={"key": f"key-{made.bundle[7:23]}"},
        materials=tuple(Material(name, digest) for name, digest in digests.items()),
        versions={"elp": "0.1.0"},
        run=made.run_id,
        finished=NOON,
    )


def verdict_on(made: Made, outcome: Outcome, against: Made | None, decided_at: str = NOON) -> VerdictStatement:
    """What the gate says of a version: better than `against` by two points if it passed."""
    error = 0.08 if outcome == "passed" else 0.3
    return VerdictStatement(
        bundle=made.bundle,
        slot=made.slot,
        model=made.model,
        version=made.version,
        outcome=outcome,
        backbone=BackboneName("tiny", made.fingerprint),
        against=ChampionRef(against.version, against.bundle) if against else None,
        first_version=against is None,
        golden=Golden(f"golden/{made.slot}/v1", "sha256:" + "e" * 64),
        policy="sha256:" + "9" * 64,
        metric="wer",
        challenger=error,
        champion=0.1 if against else None,
        delta=error - 0.1 if against else None,
        interval=(error - 0.13, error - 0.09) if against else None,
        evidence=EvidenceFile(f"gate/v{made.version}/evidence.json", hashlib.sha256(evidence(made)).hexdigest()),
        decided_at=decided_at,
        details=DETAILS,
    )


def evidence(made: Made) -> bytes:
    """The file that a verdict names."""
    return json.dumps({"version": made.version, "bundle": made.bundle}).encode()


def gate(rest: Rest, made: Made, outcome: Outcome, against: Made | None, keys: KeyRing) -> dict[str, Any]:
    """Upload evidence and post a signed verdict, as `elp gate` does."""
    upload(rest, made.evidence, evidence(made))
    return state(rest, made, verdict_on(made, outcome, against).payload, keys, "verdict")


def promote(rest: Rest, made: Made, reason: str = "it passed") -> dict[str, Any]:
    """Make it champion, through the API."""
    return rest.post(f"{ELP}/promote", {"slot": made.slot, "version": made.version, "reason": reason, "by": "ann"})


def _experiment(rest: Rest, model: str) -> str:
    found = rest("GET", f"{API}/experiments/get-by-name?experiment_name={model}")
    if found.status == 200:
        return str(found.json["experiment"]["experiment_id"])
    return str(rest.post(f"{API}/experiments/create", {"name": model})["experiment_id"])


def _tags(mark: str, bundle: str, fingerprint: str, backbone: str) -> list[dict[str, str]]:
    values = {
        "elp.metric": "wer",
        "elp.value": "0.1000",
        "elp.dataset": "data/x/asr/v1",
        "elp.key": mark,
        "elp.bundle": bundle,
        "elp.fingerprint": fingerprint,
    } | ({"elp.backbone": backbone} if backbone else {})
    return [{"key": key, "value": value} for key, value in values.items()]
