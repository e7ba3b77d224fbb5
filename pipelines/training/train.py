"""Train a slot's adapter on one dataset version and register it; the same inputs are never trained twice."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.config import to_dict
from elp_core.errors import OpsError
from elp_core.types import Clip
from pipelines.errors import DataRefused
from pipelines.local.settings import Settings, SlotSettings
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client import runs as tracking
from pipelines.registry.lineage import BackboneName, Lineage, PinnedGolden, TrainedClips, TrainingDataset, ids_digest
from pipelines.registry.signing.keys import key_folder, signing_ring
from pipelines.registry.slot import Slot
from pipelines.training.curve_plot import draw_curves
from pipelines.training.curves import Curves
from pipelines.training.finished import (
    Trained,
    disk_errors,
    find_trained,
    one_at_a_time,
    training_folder,
    write_text,
    write_trained,
)
from pipelines.training.provenance import code_digest, collect, installed_packages, task_digest, training_key
from pipelines.training.register import Registered, register, reuse

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from elp_core.backbones import Backbone
    from elp_core.model import ElpModel
    from elp_core.training import TrainResult
    from pipelines.datasets.versions import DatasetVersion, GoldenRef

Log = Callable[[str], None]


@dataclass(frozen=True)
class Material:
    """What one training is made of."""

    slot: Slot
    settings: SlotSettings
    backbone: Backbone
    dataset: DatasetVersion
    golden: GoldenRef | None
    """The golden set in force: its clips are in no other split."""
    repository: str
    train: list[Clip]
    validation: list[Clip]
    ids: str
    """Digest of the ids of both."""
    key: str
    beside: tuple[str, ...] = ()
    """Other slots that were trained in the same pass; they change the result by no more than rounding."""


def train_adapter(
    repository: str,
    slot: Slot,
    tag: str,
    settings: Settings,
    *,
    mlflow_uri: str,
    cache: Path,
    keys: Path | None = None,
    flow_run_id: str = "",
    log: Log = print,
) -> Registered:
    """Train the adapter of `slot` on the dataset version `tag`, and register it as a candidate.

    What the registry has already is returned; what this machine trained but could not register is registered; an
    interrupted training goes on from its checkpoint.

    Args:
        repository: Path or URL of the workspace's Git repository.
        slot: The slot.
        tag: Dataset version, such as ``data/plant-a/asr/v3``.
        settings: Of the workspace.
        mlflow_uri: Address of the MLflow server.
        cache: Folder for fetched data, trainings and bundles.
        keys: Folder of the key that signs the lineage; None takes ELP_KEYS, else that of the workspace worked in.
        flow_run_id: Prefect flow run this belongs to, for the lineage.
        log: Takes one line of progress at a time.

    Raises:
        AttestationError: at once, where this machine has no key to sign a lineage with.
        ServiceError: where MLflow is gone: at once before training; after it the result is kept for the next call.
        VersioningError: where the dataset version cannot be fetched.
        DataRefused: where nothing is left to train on.
        TrainingError: where training fails; the run in MLflow says so too.
    """
    client, keys = registry.connect(mlflow_uri), keys or key_folder()
    signing_ring(keys, "lineage")
    material = gather(repository, slot, tag, settings, cache)
    known = registry.find_by_key(client, slot, material.key)
    if known is not None:
        return reuse(client, known, cache, keys, log)
    with one_at_a_time(cache, material.key, log):
        run_id = open_run(client, material)
        trained = find_trained(cache, material.key)
        reused = trained is not None
        if trained is None:
            trained = train_noting_failure(client, run_id, material, cache, flow_run_id, log)
        else:
            log("this machine has the finished training already; registering it")
        return register(client, slot, run_id, trained, keys, reused=reused, log=log)


def gather(
    repository: str, slot: Slot, tag: str, settings: Settings, cache: Path, backbone: Backbone | None = None
) -> Material:
    """What training `slot` on `tag` is made of; `backbone` is the settings' own where it is loaded already."""
    from elp_core.backbones import Backbone
    from pipelines.datasets.versions import golden_ref, load_split, version_at

    dataset = version_at(repository, tag, slot)
    golden = golden_ref(repository, dataset.golden, slot) if dataset.golden else None
    # clips of the golden set are left out of these
    train, validation = (load_split(repository, tag, slot, (split,), cache) for split in ("train", "validation"))
    if not train or not validation:
        empty = "training" if not train else "validation"
        raise DataRefused(str(slot), [f"{tag} has no clips in its {empty} split; add data: elp data add {slot} SOURCE"])
    mine = settings.for_slot(slot)
    backbone = backbone or Backbone.from_pretrained(settings.backbone)
    config = {"slot": str(slot), **_config(mine), "task_code": task_digest(slot.task_spec)}
    ids = ids_digest([clip.id for clip in (*train, *validation)])
    key = training_key(dataset.dvc_hash, config, backbone.fingerprint, code_digest(), mine.train.seed, ids)
    return Material(slot, mine, backbone, dataset, golden, repository, train, validation, ids, key)


def _config(settings: SlotSettings) -> dict[str, Any]:
    """What of a slot's settings shapes its adapter."""
    return {name: to_dict(getattr(settings, name)) for name in ("adapter", "train", "task")}


def open_run(client: MlflowClient, material: Material) -> str:
    """The MLflow run of this training, a new one or the one that was left open."""
    slot, version = material.slot, material.dataset.tag.rsplit("/", 1)[-1]
    tags = {"elp.slot": str(slot), "elp.dataset": material.dataset.tag, "elp.backbone": material.backbone.id}
    return tracking.open_run(client, slot, material.key, f"{slot} on {version}", tags)


def train_noting_failure(
    client: MlflowClient, run_id: str, material: Material, cache: Path, flow_run_id: str, log: Log
) -> Trained:
    """Train; where that fails, the run in MLflow ends as failed and says why."""
    from elp_core.training import train

    curves = Curves(client, run_id, log)
    try:
        model, folder, started = fresh_model(material), training_folder(cache, material.key), time.monotonic()
        log(opening(material))
        config = material.settings.train
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            kept, features = folder / "checkpoint", cache / "features"
            result = train(model, material.train, material.validation, config, curves, kept, features)
        seconds = time.monotonic() - started
        trained = conclude(material, model, result, seconds, folder, run_id, flow_run_id, log)
    except BaseException as error:
        note_failure(client, run_id, error)
        raise
    curves.finish()
    return trained


def note_failure(client: MlflowClient, run_id: str, error: BaseException) -> None:
    """End the run in MLflow as failed, and say why there; where MLflow is gone too, `error` is the one to tell."""
    with contextlib.suppress(OpsError):
        tracking.set_run_tags(client, run_id, {"elp.error": f"{type(error).__name__}: {error}"[:500]})
        tracking.close_run(client, run_id, "FAILED" if isinstance(error, Exception) else "KILLED")


def fresh_model(material: Material) -> ElpModel:
    """The model as training begins with it."""
    from elp_core.assemble import build
    from elp_core.tasks import make_task

    task = make_task(material.slot.task, material.train, material.settings.task)
    return build(material.backbone, material.settings.adapter, task, material.settings.train.seed)


def conclude(
    material: Material,
    model: ElpModel,
    result: TrainResult,
    seconds: float,
    folder: Path,
    run_id: str,
    flow_run_id: str,
    log: Log,
) -> Trained:
    """Score the trained model and write the bundle, the report and, last, the marker that it is whole."""
    from elp_core.assemble import evaluate, settle
    from elp_core.bundle import write_bundle

    config = material.settings.train
    with disk_errors(folder):
        value = evaluate(model, material.validation, config.batch_seconds, config.device)
        settle(model, value)
        metrics = {
            value.metric: value.value,
            **{f"{value.metric}.{name}": number for name, number in value.extra.items()},
            "train_seconds": seconds,
            "train_steps": float(result.steps),
            "train_epochs": float(result.epochs),
            "best_epoch": float(result.best_epoch),
            "clips_too_short": float(len(result.excluded)),
            "trainable_parameters": float(sum(p.numel() for p in model.trainable().values())),
        }
        lineage = _lineage(material, metrics, value.metric, run_id, flow_run_id)
        shutil.rmtree(folder / "bundle", ignore_errors=True)
        digest = write_bundle(folder / "bundle", model, lineage.to_json(), metrics)
        metrics["bundle_bytes"] = float(sum(p.stat().st_size for p in (folder / "bundle").iterdir()))
        history = [asdict(entry) for entry in result.history]
        _write_report(folder / "report", folder / "bundle", history, value.metric)
        trained = Trained(folder, digest, value.metric, value.value, metrics, history)
        write_trained(trained)
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    log(f"trained in {seconds:.0f} s: {value.metric} {value.value:.2%} on the validation split")
    return trained


def _lineage(material: Material, metrics: Mapping[str, float], metric: str, run_id: str, flow_run_id: str) -> Lineage:
    dataset, mine = material.dataset, material.settings
    golden, used = material.golden, {"train": len(material.train), "validation": len(material.validation)}
    return collect(
        slot=str(material.slot),
        key=material.key,
        dataset=TrainingDataset(
            repository=material.repository,
            tag=dataset.tag,
            version=dataset.version,
            revision=dataset.revision,
            dvc_hash=dataset.dvc_hash,
            clips=dataset.clips,
            seconds=dataset.seconds,
            speakers=dataset.speakers,
            splits=dict(dataset.splits),
            quarantined=dataset.quarantined,
            validation=dict(dataset.validation),
            closed_set=dataset.closed_set,
        ),
        golden=PinnedGolden(golden.tag, golden.digest, golden.clips) if golden else PinnedGolden(),
        training=TrainedClips(
            clips=len(material.train),
            seconds=round(sum(clip.duration for clip in material.train), 3),
            ids=material.ids,
            excluded=sum(dataset.splits.get(split, 0) - clips for split, clips in used.items()),
            beside=material.beside,
        ),
        backbone=BackboneName(material.backbone.id, material.backbone.fingerprint),
        config=_config(mine),
        seed=mine.train.seed,
        flow_run=flow_run_id,
        mlflow_run=run_id,
        validation={
            "metric": metric,
            **{name: number for name, number in metrics.items() if name.partition(".")[0] == metric},
        },
    )


def _write_report(report: Path, bundle: Path, history: list[dict[str, Any]], metric: str) -> None:
    write_text(report / "lineage.json", (bundle / "lineage.json").read_text(encoding="utf-8"))
    write_text(report / "packages.txt", "\n".join(installed_packages()) + "\n")
    draw_curves(history, metric, report / "curves.png")


def opening(material: Material) -> str:
    """The line that tells of a training's beginning."""
    minutes = sum(clip.duration for clip in material.train) / 60
    clips = f"{len(material.train)} clips ({minutes:.1f} minutes)"
    return f"training {material.slot} on {clips} of {material.dataset.tag}"
