"""Adapter versions in a real registry: bare ones for names and tags only, and signed verdicts on real ones."""

from __future__ import annotations

import json
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.local.settings import Settings
from pipelines.registry.adapter_version import AdapterVersion, Tags
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client import runs as tracking
from pipelines.registry.client import server_api as guard
from pipelines.registry.lineage import BackboneName
from pipelines.registry.policies import VoicePolicy, policy_digest
from pipelines.registry.signing.canonical_json import sha256, utc_now
from pipelines.registry.signing.envelope import sign
from pipelines.registry.signing.keys import key_folder, load_trusted_keys
from pipelines.registry.slot import Slot
from pipelines.registry.verdict import Outcome
from pipelines.registry.verdict_statement import ChampionRef, EvidenceFile, Golden, VerdictStatement
from tests.support.proof import DETAILS

if TYPE_CHECKING:
    from mlflow import MlflowClient

BUNDLE = "sha256:" + "b" * 64
GOLDEN = "golden/x/asr/v1"


def add_version(client: MlflowClient, slot: Slot, key: str, **tags: str) -> AdapterVersion:
    """Register a version of `slot` with this training key, without a bundle behind it."""
    run_id = tracking.open_run(client, slot, key, f"run {key}", {})
    experiment = client.get_run(run_id).info.experiment_id
    model = client.create_logged_model(experiment, name="adapter", source_run_id=run_id)
    client.finalize_logged_model(model.model_id, "READY")
    return registry.create_version(
        client,
        slot,
        source=f"models:/{model.model_id}",
        run_id=run_id,
        model_id=model.model_id,
        tags={Tags.KEY: key, Tags.BUNDLE: BUNDLE, **tags},
        description="A version.",
    )


def record_verdict(
    client: MlflowClient,
    version: AdapterVersion,
    verdict: Outcome = "passed",
    against: AdapterVersion | None = None,
    voices: VoicePolicy = "report",
) -> AdapterVersion:
    """Sign a verdict on a version that `add_bundle` made, and hand it to the server with its evidence."""
    slot, place = version.slot, f"gate/v{version.version}-{uuid.uuid4().hex[:8]}"
    evidence = json.dumps({"verdict": verdict, "place": place})
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "evidence.json").write_text(evidence)
        tracking.log_folder(client, version.run_id, Path(scratch), place)
    statement = VerdictStatement(
        bundle=version.bundle_digest,
        slot=str(slot),
        model=slot.model_name,
        version=version.version,
        outcome=verdict,
        backbone=BackboneName("tiny", version.tags[Tags.FINGERPRINT]),
        against=ChampionRef(against.version, against.bundle_digest) if against else None,
        first_version=against is None,
        golden=Golden(GOLDEN, "sha256:" + "e" * 64),
        policy=policy_digest(Settings().for_slot(slot).gate),
        metric="wer",
        challenger=0.08,
        champion=0.09 if against else None,
        delta=-0.01 if against else None,
        interval=(-0.02, 0.0) if against else None,
        evidence=EvidenceFile(f"{place}/evidence.json", sha256(evidence.encode())),
        decided_at=utc_now(),
        details=DETAILS,
        voices=voices,
    )
    envelope = sign(statement.payload, load_trusted_keys(key_folder()), "verdict")
    guard.submit_statement(client.tracking_uri, slot.model_name, version.version, envelope.text)
    return registry.get(client, slot, version.version)


def make_champion(client: MlflowClient, version: AdapterVersion, by: str = "ann", why: str = "best") -> AdapterVersion:
    """Pass a version that `add_bundle` made against the present champion, and promote it."""
    record_verdict(client, version, against=registry.find_champion(client, version.slot))
    guard.change_champion(client.tracking_uri, "promote", version.slot, version=version.version, by=by, reason=why)
    return registry.get(client, version.slot, version.version)
