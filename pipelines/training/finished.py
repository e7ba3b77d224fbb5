"""Finished trainings on this machine, kept until (and after) the registry has them, so that no result is lost.

<cache>/bundles/<training key>/
├── bundle/          the adapter bundle
├── checkpoint/      during the training; an interrupted training continues from it
├── report/          further artifacts of the MLflow run: curves.png, lineage.json, packages.txt
└── training.json    metrics and history; written last, so its presence means that all else is complete
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.config import to_dict
from elp_core.files import write_whole
from pipelines.errors import DiskFull, WorkspaceError
from pipelines.locks import file_lock
from pipelines.number_text import BEFORE
from pipelines.outages import DISK_FULL
from pipelines.registry.lineage import Lineage, PinnedGolden, TrainedClips, TrainingDataset, read_known
from pipelines.training.curves import draw_curves
from pipelines.training.inputs import TrainingInputs
from pipelines.training.provenance import code_version, hardware, installed_packages, package_versions

if TYPE_CHECKING:
    from elp_core.model import ElpModel
    from elp_core.training import EpochRecord, TrainResult

_DONE = "training.json"


@dataclass(frozen=True)
class Trained:
    """A finished training on disk."""

    folder: Path
    bundle_digest: str
    metric: str
    value: float
    """Of the metric on the validation split."""
    metrics: Mapping[str, float]
    history: tuple[EpochRecord, ...]
    lineage: Lineage

    @property
    def bundle(self) -> Path:
        """The bundle's folder."""
        return self.folder / "bundle"

    @property
    def report(self) -> Path:
        """Files for people: curves, lineage, packages."""
        return self.folder / "report"


def training_folder(cache: Path, key: str) -> Path:
    """Return the folder of the training with this key."""
    return cache / "bundles" / key


def find_trained(cache: Path, key: str) -> Trained | None:
    """Return the finished training with this key; None if there is none, or if its bundle was altered since."""
    from elp_core.bundle import verify_bundle
    from elp_core.errors import BundleError
    from elp_core.training import EpochRecord

    folder = training_folder(cache, key)
    try:
        values = json.loads((folder / _DONE).read_text(encoding="utf-8"))
        bundle = verify_bundle(folder / "bundle")
    except (OSError, ValueError, BundleError):
        return None
    if bundle.digest != values["bundle_digest"]:
        return None
    history = tuple(EpochRecord(**entry) for entry in values.pop("history"))
    return Trained(folder, **values, history=history, lineage=Lineage.from_json(bundle.lineage))


def finish_training(
    inputs: TrainingInputs,
    model: ElpModel,
    result: TrainResult,
    folder: Path,
    run_id: str,
    flow_run_id: str,
    seconds: float,
    others: tuple[str, ...],
) -> Trained:
    """Score the trained model, and write the bundle, the report and, last, the file that marks it as finished.

    `model` has the best epoch's state; `seconds` is the duration of the training; `others` are the slots that were
    trained in the same pass, which change the result by rounding only.
    """
    from elp_core.assemble import calibrate, evaluate, settle
    from elp_core.bundle import write_bundle

    config, packages = inputs.settings.train, installed_packages()
    with disk_errors(folder):
        value = evaluate(model, inputs.data.validation, config.batch_seconds, config.device)
        settle(model, value)
        measured = {value.metric: value.value, **{f"{value.metric}.{name}": x for name, x in value.extra.items()}}
        measured |= calibrate(model, inputs.data.validation, config.batch_seconds, config.device)
        metrics = {
            **measured,
            "train_seconds": seconds,
            "train_steps": float(result.steps),
            "train_epochs": float(result.epochs),
            "best_epoch": float(result.best_epoch),
            "clips_too_short": float(len(result.excluded)),
            "trainable_parameters": float(model.parameter_count()),
        }
        validation = {"metric": value.metric, **measured}
        lineage = _lineage(inputs, packages, others, run_id, flow_run_id, validation)
        # a run that was killed here left a bundle, and `write_bundle` refuses a folder that exists
        shutil.rmtree(folder / "bundle", ignore_errors=True)
        digest = write_bundle(folder / "bundle", model, lineage.to_json(), metrics)
        # what a full copy would have to store; not in the bundle, whose digest must not depend on it
        metrics["backbone_parameters"] = float(sum(p.numel() for p in model.backbone.parameters()))
        if result.before is not None:
            metrics[f"{BEFORE}{value.metric}"] = result.before
        metrics["bundle_bytes"] = float(sum(p.stat().st_size for p in (folder / "bundle").iterdir()))
        trained = Trained(folder, digest, value.metric, value.value, metrics, result.history, lineage)
        write_whole(trained.report / "lineage.json", (trained.bundle / "lineage.json").read_bytes())
        write_whole(trained.report / "packages.txt", "\n".join(packages) + "\n")
        draw_curves(trained.history, value.metric, trained.report / "curves.png")
        done = {
            "bundle_digest": digest,
            "metric": value.metric,
            "value": value.value,
            "metrics": metrics,
            "history": [asdict(entry) for entry in result.history],
        }
        # last, as its presence means that all else is complete
        write_whole(folder / _DONE, json.dumps(done, indent=1, sort_keys=True))
        # after the mark: a run that is killed before it continues from the checkpoint
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return trained


def _lineage(
    inputs: TrainingInputs,
    packages: list[str],
    others: tuple[str, ...],
    run_id: str,
    flow_run_id: str,
    validation: Mapping[str, Any],
) -> Lineage:
    """Return the lineage of a training: its inputs, and the code, the packages and the machine of this moment."""
    data = inputs.data
    used = {"train": len(data.train), "validation": len(data.validation)}
    return Lineage(
        slot=str(inputs.slot),
        key=inputs.key,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        dataset=read_known(TrainingDataset, {**to_dict(data.dataset), "repository": inputs.repository}, "dataset"),
        golden=PinnedGolden(data.golden.tag, data.golden.digest, data.golden.clips) if data.golden else PinnedGolden(),
        training=TrainedClips(
            clips=len(data.train),
            seconds=round(sum(clip.duration for clip in data.train), 3),
            ids=inputs.ids,
            excluded=sum(data.dataset.splits.get(split, 0) - clips for split, clips in used.items()),
            beside=others,
        ),
        backbone=inputs.backbone_name,
        backbone_origin=inputs.backbones.origin_of(inputs.backbone_name),
        config=inputs.config,
        seed=inputs.settings.train.seed,
        code=code_version(),
        packages=package_versions(packages),
        hardware=replace(hardware(), processes=inputs.settings.compute.processes),
        flow_run=flow_run_id,
        mlflow_run=run_id,
        validation=validation,
        language=inputs.language,
        start=inputs.start.record,
        learned=inputs.learned,
    )


def one_at_a_time(cache: Path, key: str, log: Callable[[str], None]) -> AbstractContextManager[None]:
    """Hold the training's lock: of two processes on one machine the second waits, and finds the work done."""
    path = training_folder(cache, key).with_suffix(".lock")
    return file_lock(path, when_taken=lambda: log("another process trains exactly this; waiting for it"))


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn the error of a full disk into DiskFull, of a read-only one into a WorkspaceError; both say what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in {*DISK_FULL, errno.EROFS, errno.EACCES}:
            raise
        kind = DiskFull if error.errno in DISK_FULL else WorkspaceError
        raise kind(
            f"cannot write to {folder}: {error.strerror}; make room or rights there and run it again "
            "(nothing half-written is used)"
        ) from error
