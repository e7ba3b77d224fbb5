"""Real bundles on a tiny random backbone, and versions that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from elp_core.assemble import build
from elp_core.bundle import verify_bundle, write_bundle
from elp_core.config import ElpConfig, EncoderAdapterConfig, LayerAdapterConfig, PromptConfig
from elp_core.languages import BLANK
from elp_core.tasks import Task, make_task
from elp_core.testing import tiny_backbone
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client import bundle_models as models
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client import runs as tracking
from pipelines.registry.client import server_api as guard
from pipelines.registry.description import version_tags
from pipelines.registry.lineage import Lineage
from pipelines.registry.signing.envelope import sign
from pipelines.registry.signing.keys import key_folder, load_trusted_keys
from pipelines.registry.slot import Slot
from pipelines.training.provenance import lineage_statement
from tests.support.clips import two_speakers

if TYPE_CHECKING:
    from mlflow import MlflowClient

SMALL = ElpConfig(EncoderAdapterConfig(4), LayerAdapterConfig(8), PromptConfig(1))


def lineage(slot: Slot, key: str, fingerprint: str = "") -> dict[str, Any]:
    """A lineage with every part that the registry and the audit read."""
    return {
        "format": 1,
        "slot": str(slot),
        "key": key,
        "created": "2026-01-01T00:00:00+00:00",
        "dataset": {
            "repository": "",
            "tag": slot.tag(1),
            "revision": "a" * 40,
            "dvc_hash": "md5:" + "d" * 32 + ".dir",
            "clips": 8,
            "seconds": 3.2,
            "speakers": 2,
        },
        "golden": {"tag": slot.tag(1, "golden"), "digest": "sha256:" + "e" * 64, "clips": 4},
        "training": {"clips": 8, "seconds": 3.2, "ids": "sha256:" + "1" * 64, "excluded": 0},
        "backbone": {"id": "tiny", "fingerprint": fingerprint},
        "config": {"adapter": {}, "train": {}},
        "seed": 0,
        "code": {"version": "0.1.0", "digest": "sha256:" + "c" * 64, "revision": "", "dirty": None},
        "packages": {"lock": "sha256:" + "7" * 64, "torch": "2"},
        "hardware": {"system": "test", "cores": 1, "gpu": ""},
        "flow_run": "",
        "mlflow_run": "",
        "validation": {"metric": "eer", "eer": 0.1, "eer.threshold": 0.5},
    }


def make_bundle(
    folder: Path,
    slot: Slot,
    key: str,
    metrics: Mapping[str, float] | None = None,
    task: Task | None = None,
    silent: bool = False,
) -> str:
    """Write an untrained bundle of the slot's task into `folder`; its digest.

    A `silent` one for ASR writes no letter, so that its WER is 1 whatever it hears.
    """
    backbone = tiny_backbone("hubert")
    model = build(backbone, SMALL, task or make_task(slot.task, two_speakers()), seed=0)
    if silent and slot.task == "asr":
        with torch.no_grad():
            model.head.get_parameter("letters.bias")[BLANK] += 100.0
    return write_bundle(folder, model, lineage(slot, key, backbone.fingerprint), dict(metrics or {"wer": 1.0}))


def add_bundle(
    client: MlflowClient, slot: Slot, key: str, scratch: Path, task: Task | None = None, silent: bool = False
) -> AdapterVersion:
    """Register a version of the slot with a real bundle behind it and its signed lineage."""
    folder = scratch / key / "bundle"
    folder.parent.mkdir(parents=True)
    digest = make_bundle(folder, slot, key, task=task, silent=silent)
    run_id = tracking.open_run(client, slot, key, f"run {key}", {})
    model_id = models.log_bundle(client, run_id, folder, key, slot.task_spec)
    tags = version_tags(Lineage.from_json(lineage(slot, key, tiny_backbone("hubert").fingerprint)), digest, "wer", 1.0)
    version = registry.create_version(
        client,
        slot,
        source=f"models:/{model_id}",
        run_id=run_id,
        model_id=model_id,
        tags=tags,
        description="A version.",
    )
    statement = lineage_statement(slot.model_name, verify_bundle(folder))
    envelope = sign(statement.payload, load_trusted_keys(key_folder()), "lineage")
    guard.submit_statement(client.tracking_uri, slot.model_name, version.version, envelope.text)
    return version
