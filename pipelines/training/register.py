"""Register a finished training as a version with a signed lineage. Every part can be repeated after an interruption."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.files import write_whole
from pipelines.errors import AttestationError, GateRefused, RegistryError
from pipelines.number_text import count, metric_title
from pipelines.registry.adapter_version import AdapterVersion, Tags
from pipelines.registry.client import bundle_models, model_registry, runs, server_api
from pipelines.registry.description import describe_version, language_rows, licence_rows, start_rows, version_tags
from pipelines.registry.lineage import Lineage
from pipelines.registry.signing.envelope import sign
from pipelines.registry.signing.keys import load_trusted_keys
from pipelines.registry.slot import Slot
from pipelines.training.curves import log_history
from pipelines.training.finished import Trained, find_trained
from pipelines.training.provenance import lineage_statement

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SIGNED = "signed-lineage"
"""Folder among a run's artifacts with the signed lineages of its bundles, one of each machine that trained it."""


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
    """True if nothing had to be trained: the registry or this machine had it already."""
    metrics: Mapping[str, float]

    @classmethod
    def of(cls, version: AdapterVersion, metrics: Mapping[str, float], *, reused: bool) -> Registered:
        """Return the record of a version with the metrics of its training."""
        name, number = version.slot.model_name, version.version
        return cls(name, number, version.key, version.run_id, version.bundle_digest, reused, dict(metrics))


def register_trained(
    client: MlflowClient,
    slot: Slot,
    run_id: str,
    trained: Trained,
    keys: Path,
    *,
    reused: bool,
    log: Callable[[str], None],
) -> Registered:
    """Log the run, its signed lineage, the bundle as its model and the slot's next version; then record the lineage.

    After an interruption the next call continues, on any machine: a version exists only when everything it refers to
    does, and `reuse_version` hands in the signed lineage of a version that lacks it.

    Raise ServiceError if the server is gone (the training stays on this machine), AttestationError or GateRefused if
    the lineage cannot be signed or its key is not trusted.
    """
    lineage = trained.lineage
    runs.log_params(client, run_id, _params(lineage))
    runs.log_metrics(client, run_id, trained.metrics)
    log_history(client, run_id, trained.history)
    runs.log_datasets(client, run_id, _datasets(slot, lineage))
    runs.log_folder(client, run_id, trained.report, "report")
    # before the version: a machine that ends now leaves it to others to hand it in
    runs.log_folder(client, run_id, _write_signed(slot, trained, keys), _SIGNED)
    model_id = bundle_models.log_bundle(client, run_id, trained.bundle, lineage.key, slot.task_spec)
    version = model_registry.find_by_key(client, slot, lineage.key)
    if version is None:
        version = _create(client, slot, run_id, model_id, trained)
        mine = version.bundle_digest == trained.bundle_digest
        log(f"registered {version.name}" if mine else f"{version.name} was registered by another machine meanwhile")
    if not _is_signed(client, version):
        _sign(client, version, trained, keys, log)
    runs.close_run(client, run_id)
    return Registered.of(version, trained.metrics, reused=reused)


def reuse_version(
    client: MlflowClient, version: AdapterVersion, cache: Path, keys: Path, log: Callable[[str], None]
) -> Registered:
    """Return a version that was trained from the same inputs before, and complete it if that was interrupted."""
    log(f"{version.name} was trained from exactly this already; nothing to do")
    if not _is_signed(client, version):
        _sign(client, version, find_trained(cache, version.key), keys, log)
    runs.close_run(client, version.run_id)
    return Registered.of(version, runs.run_metrics(client, version.run_id), reused=True)


def _is_signed(client: MlflowClient, version: AdapterVersion) -> bool:
    model = version.slot.model_name
    return any(server_api.list_statements(client.tracking_uri, model=model, version=version.version, kind="lineage"))


def _sign(
    client: MlflowClient, version: AdapterVersion, trained: Trained | None, keys: Path, log: Callable[[str], None]
) -> None:
    """Hand in the signed lineage of a version: of the training here, or the one that its machine left with the run."""
    slot = version.slot
    if trained and version.bundle_digest == trained.bundle_digest:
        # signed now: the key may have been replaced during the training
        text = _signed(slot, trained, keys)
        server_api.submit_statement(client.tracking_uri, slot.model_name, version.version, text)
        log(f"signed the lineage of {version.name}")
        return
    with tempfile.TemporaryDirectory(prefix="elp-lineage-") as folder:
        name = f"{_SIGNED}/{_signed_name(version.bundle_digest)}"
        found = runs.fetch_artifact(client, version.run_id, name, Path(folder))
        text = found.read_text(encoding="utf-8") if found else ""
    again = "train it again on the machine that trained it"
    if not text:
        log(f"the lineage of {version.name} is not signed yet: {again}")
        return
    try:
        # the signature decides, not the sender
        server_api.submit_statement(client.tracking_uri, slot.model_name, version.version, text)
    except (AttestationError, GateRefused, RegistryError) as error:
        log(f"the lineage of {version.name} is not recorded: {error}; {again}")
        return
    log(f"recorded the lineage of {version.name}, which another machine had signed")


def _write_signed(slot: Slot, trained: Trained, keys: Path) -> Path:
    """Write the signed lineage of a training next to its bundle; return the folder."""
    folder = trained.folder / _SIGNED
    write_whole(folder / _signed_name(trained.bundle_digest), _signed(slot, trained, keys))
    return folder


def _signed(slot: Slot, trained: Trained, keys: Path) -> str:
    """Return the envelope with the lineage of a training, signed by this machine."""
    from elp_core.bundle import verify_bundle

    statement = lineage_statement(slot.model_name, verify_bundle(trained.bundle))
    return sign(statement.payload, load_trusted_keys(keys), "lineage").text


def _signed_name(bundle_digest: str) -> str:
    return f"{bundle_digest.rpartition(':')[2]}.dsse.json"


def _create(client: MlflowClient, slot: Slot, run_id: str, model_id: str, trained: Trained) -> AdapterVersion:
    lineage = trained.lineage
    tags = version_tags(lineage, trained.bundle_digest, trained.metric, trained.value)
    made = model_registry.create_version(
        client,
        slot,
        source=f"models:/{model_id}",
        run_id=run_id,
        model_id=model_id,
        tags=tags,
        description=_description(slot, trained, tags),
    )
    first = model_registry.find_by_key(client, slot, lineage.key)
    if first is None or first.version == made.version:
        return made
    # a worker on another machine trained the same and registered a moment earlier
    model_registry.delete_version(client, made)
    return first


def _params(lineage: Lineage) -> dict[str, Any]:
    language = lineage.language
    return {
        **lineage.config,
        "backbone": lineage.backbone.id,
        "dataset": lineage.dataset.tag,
        "training": {"clips": lineage.training.clips, "minutes": round(lineage.training.seconds / 60, 2)},
        **({"language": {"code": language.code, "units": f"{language.size} {language.kind}"}} if language.code else {}),
    }


def _datasets(slot: Slot, lineage: Lineage) -> list[runs.DatasetInput]:
    data, golden = lineage.dataset, lineage.golden
    source = {"repository": data.repository, "path": slot.folder.as_posix()}
    profile = {"clips": data.clips, "minutes": round(data.seconds / 60, 2), "speakers": data.speakers}
    revision = {**source, "revision": data.revision, "tag": data.tag}
    inputs = [runs.DatasetInput(data.tag, data.dvc_hash, revision, "training", profile)]
    if golden.tag:
        pinned = {**source, "tag": golden.tag, "digest": golden.digest}
        inputs.append(runs.DatasetInput(golden.tag, golden.digest, pinned, "golden", {"clips": golden.clips}))
    return inputs


def _description(slot: Slot, trained: Trained, tags: Mapping[str, str]) -> str:
    lineage, metric = trained.lineage, metric_title(trained.metric)
    minutes = lineage.training.seconds / 60
    headline = (
        f"Candidate for {slot}, not gated yet: {metric} {trained.value:.1%} on the validation split, "
        f"trained on {minutes:.1f} minutes of {lineage.dataset.tag}."
    )
    rows = [
        ("verdict", "not gated"),
        (f"{metric}, validation split", f"{trained.value:.2%}"),
        ("audio in training", f"{count(lineage.training.clips, 'clip')}, {minutes:.1f} minutes"),
        ("trainable parameters", f"{int(trained.metrics['trainable_parameters']):,}"),
        ("bundle", f"{trained.metrics['bundle_bytes'] / 1e6:.2f} MB"),
        ("training time", f"{trained.metrics['train_seconds']:.0f} s"),
    ]
    rows += language_rows(lineage.language) + start_rows(lineage) + licence_rows(lineage.backbone_origin)
    if lineage.dataset.closed_set:
        rows.append(("closed set", "yes: the speakers of the evaluation are in the training data, too"))
    return describe_version(headline, rows, {**tags, Tags.GOLDEN: lineage.golden.tag})
