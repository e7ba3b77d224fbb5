"""A finished training becomes a registered version with a signed lineage. Every part can be done again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.metrics.scores import title
from pipelines.registry.adapter_version import AdapterVersion, Tags
from pipelines.registry.client import bundle_models as models
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client import runs as tracking
from pipelines.registry.client import server_api as guard
from pipelines.registry.description import describe_version, version_tags
from pipelines.registry.lineage import Lineage
from pipelines.registry.signing.envelope import sign
from pipelines.registry.signing.keys import load_ring
from pipelines.registry.slot import Slot
from pipelines.training.curves import log_history
from pipelines.training.finished import Trained, find_trained
from pipelines.training.lineage_statement import lineage_statement

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Registered:
    """A version in the registry."""

    name: str
    """Registered model: ``elp.<site>.<task>``."""
    version: int
    key: str
    run_id: str
    bundle_digest: str
    reused: bool
    """True where nothing had to be trained: the registry or this machine had it already."""
    metrics: Mapping[str, float]


def register(
    client: MlflowClient,
    slot: Slot,
    run_id: str,
    trained: Trained,
    keys: Path,
    *,
    reused: bool,
    log: Callable[[str], None],
) -> Registered:
    """Log the run, the bundle as its model, the model as the slot's next version, its signed lineage, in this order.

    Killed anywhere, it goes on where it stopped when called again: a version exists only when all it points to does,
    and `reuse` signs for one that was left without.

    Raises:
        ServiceError: where the server is gone; the training stays on this machine.
        AttestationError: where this machine may not sign a lineage.
        GateRefused: where the server does not trust the key.
    """
    lineage = trained.lineage
    tracking.log_params(client, run_id, _params(lineage))
    tracking.log_metrics(client, run_id, trained.metrics)
    log_history(client, run_id, trained.history)
    tracking.log_datasets(client, run_id, _datasets(slot, lineage))
    tracking.log_folder(client, run_id, trained.report, "report")
    model_id = models.log_bundle(client, run_id, trained.bundle, lineage.key)
    version = registry.find_by_key(client, slot, lineage.key)
    if version is None:
        version = _create(client, slot, run_id, model_id, trained)
        log(f"registered {version.name}")
    if not _attested(client, version):
        _attest(client, version, trained, keys, log)
    tracking.close_run(client, run_id)
    return registered(version, trained.metrics, reused=reused)


def reuse(
    client: MlflowClient, version: AdapterVersion, cache: Path, keys: Path, log: Callable[[str], None]
) -> Registered:
    """The outcome for a version that was trained from the same inputs before; what was cut off then is completed.

    Raises:
        ServiceError: where no guarded server answers.
        AttestationError: where this machine may not sign a lineage.
        GateRefused: where the server does not trust the key.
    """
    log(f"{version.name} was trained from exactly this already; nothing to do")
    if not _attested(client, version):
        mine = find_trained(cache, version.key)
        if mine is None:
            log(f"the lineage of {version.name} is not signed yet: train it again on the machine that trained it")
        else:
            _attest(client, version, mine, keys, log)
    tracking.close_run(client, version.run_id)
    return registered(version, tracking.run_metrics(client, version.run_id), reused=True)


def _attested(client: MlflowClient, version: AdapterVersion) -> bool:
    """Whether the server has a signed lineage of the version."""
    found = guard.list_statements(
        client.tracking_uri, model=version.slot.model_name, version=version.version, kind="lineage"
    )
    return bool(found)


def _attest(
    client: MlflowClient, version: AdapterVersion, trained: Trained, keys: Path, log: Callable[[str], None]
) -> None:
    """Sign the lineage of a version that was trained here and hand it to the server."""
    from elp_core.bundle import verify_bundle

    if version.bundle_digest != trained.bundle_digest:
        # two machines trained the same inputs, and the other registered first
        log(f"{version.name} holds the bundle of another machine, which signs for it")
        return
    statement = lineage_statement(version.slot.model_name, verify_bundle(trained.bundle))
    # read now: the key may have been replaced while the training went on
    envelope = sign(statement.payload, load_ring(keys), "lineage")
    guard.submit_statement(client.tracking_uri, version.slot.model_name, version.version, envelope.text)
    log(f"signed the lineage of {version.name}")


def _create(client: MlflowClient, slot: Slot, run_id: str, model_id: str, trained: Trained) -> AdapterVersion:
    lineage = trained.lineage
    tags = version_tags(lineage, trained.bundle_digest, trained.metric, trained.value)
    made = registry.create_version(
        client,
        slot,
        source=f"models:/{model_id}",
        run_id=run_id,
        model_id=model_id,
        tags=tags,
        description=_description(slot, trained, lineage, tags),
    )
    first = registry.find_by_key(client, slot, lineage.key)
    if first is None or first.version == made.version:
        return made
    # a worker on another machine trained the same and was a moment earlier
    registry.delete_version(client, made)
    return first


def registered(version: AdapterVersion, metrics: Mapping[str, float], *, reused: bool) -> Registered:
    """The outcome for a version that is in the registry."""
    return Registered(
        name=version.slot.model_name,
        version=version.version,
        key=version.key,
        run_id=version.run_id,
        bundle_digest=version.bundle_digest,
        reused=reused,
        metrics=dict(metrics),
    )


def _params(lineage: Lineage) -> dict[str, Any]:
    return {
        **lineage.config,
        "backbone": lineage.backbone.id,
        "dataset": lineage.dataset.tag,
        "training": {"clips": lineage.training.clips, "minutes": round(lineage.training.seconds / 60, 2)},
    }


def _datasets(slot: Slot, lineage: Lineage) -> list[tracking.DatasetInput]:
    data, golden = lineage.dataset, lineage.golden
    source = {"repository": data.repository, "path": slot.folder.as_posix()}
    inputs = [
        tracking.DatasetInput(
            name=data.tag,
            digest=data.dvc_hash,
            source={**source, "revision": data.revision, "tag": data.tag},
            context="training",
            profile={"clips": data.clips, "minutes": round(data.seconds / 60, 2), "speakers": data.speakers},
        )
    ]
    if golden.tag:
        inputs.append(
            tracking.DatasetInput(
                name=golden.tag,
                digest=golden.digest,
                source={**source, "tag": golden.tag, "digest": golden.digest},
                context="golden",
                profile={"clips": golden.clips},
            )
        )
    return inputs


def _description(slot: Slot, trained: Trained, lineage: Lineage, tags: Mapping[str, str]) -> str:
    metric, minutes = title(trained.metric), lineage.training.seconds / 60
    headline = (
        f"Candidate for {slot}, not gated yet: {metric} {trained.value:.1%} on the validation split, "
        f"trained on {minutes:.1f} minutes of {lineage.dataset.tag}."
    )
    rows = [
        ("verdict", "not gated"),
        (f"{metric}, validation split", f"{trained.value:.2%}"),
        ("audio in training", f"{lineage.training.clips} clips, {minutes:.1f} minutes"),
        ("trainable parameters", f"{int(trained.metrics['trainable_parameters']):,}"),
        ("bundle", f"{trained.metrics['bundle_bytes'] / 1e6:.2f} MB"),
        ("training time", f"{trained.metrics['train_seconds']:.0f} s"),
    ]
    if lineage.dataset.closed_set:
        rows.append(("closed set", "yes: the speakers of the evaluation were heard in training"))
    return describe_version(headline, rows, {**tags, Tags.GOLDEN: lineage.golden.tag})
