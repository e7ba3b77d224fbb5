"""Adapter versions in a real registry, without a bundle behind them: for what looks at names, tags and aliases only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.clients import registry, tracking
from pipelines.clients.versions import AdapterVersion, GateRecord, Tags
from pipelines.settings import Slot

if TYPE_CHECKING:
    from mlflow import MlflowClient

BUNDLE = "sha256:" + "b" * 64


def add_version(client: MlflowClient, slot: Slot, key: str, **tags: str) -> AdapterVersion:
    """Register a version of `slot` with this training key."""
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
        tags={Tags.KEY: key, Tags.STATUS: "candidate", Tags.BUNDLE: BUNDLE, **tags},
        description="A version.",
    )


def record_verdict(
    client: MlflowClient, version: AdapterVersion, verdict: str = "passed", against: AdapterVersion | None = None
) -> AdapterVersion:
    """Write on a version what the gate writes."""
    record = GateRecord(
        verdict=verdict,
        bundle=version.bundle_digest,
        golden="golden/x/asr/v1",
        champion=against.version if against else None,
        champion_bundle=against.bundle_digest if against else "",
    )
    return registry.annotate(
        client, version.slot, version.version, {Tags.GATE: record.to_json(), Tags.VERDICT: verdict}
    )
