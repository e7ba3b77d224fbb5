"""What an adapter came from, gathered at the moment of training: code, packages, machine, data, settings."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import elp_core
from elp_core.task_specs import TaskSpec
from pipelines.registry.lineage import (
    BackboneName,
    Lineage,
    PinnedGolden,
    TrainedClips,
    TrainerCode,
    TrainerHardware,
    TrainingDataset,
)
from pipelines.registry.signing.canonical_json import canonical_json, sha256

_NAMED = ("torch", "torchaudio", "transformers", "accelerate", "numpy", "safetensors", "mlflow", "prefect", "dvc")


def training_key(
    dataset_dvc_hash: str,
    settings: Mapping[str, Any],
    backbone_fingerprint: str,
    code_digest: str,
    seed: int,
    clips: str = "",
) -> str:
    """Identify a training by its inputs: equal inputs have equal keys, so the same thing is not trained twice.

    Args:
        dataset_dvc_hash: DVC hash of the slot's shards.
        settings: The slot, and its adapter and training configuration, as plain values.
        backbone_fingerprint: ``sha256:…`` of the frozen model.
        code_digest: Of `elp_core`, see `code_digest`.
        seed: Seed of the training.
        clips: `ids_digest` of the clips used: those of the golden set are left out of the dataset.

    Returns:
        64 hexadecimal digits.
    """
    parts = {
        "backbone": backbone_fingerprint,
        "clips": clips,
        "code": code_digest,
        "dataset": dataset_dvc_hash,
        "seed": seed,
        "settings": settings,
    }
    return sha256(canonical_json(parts))


def code_digest() -> str:
    """``sha256:…`` of every Python file of `elp_core`, as installed: what decides the numbers of a training."""
    root = Path(elp_core.__file__).parent
    sums = hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        sums.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return f"sha256:{sums.hexdigest()}"


def task_digest(spec: TaskSpec) -> str:
    """``sha256:…`` of the module that a task registered from elsewhere lies in; empty for those of `elp_core`."""
    place = sys.modules[spec.load().__module__].__file__
    if place is None or Path(place).is_relative_to(Path(elp_core.__file__).parent):
        return ""
    return f"sha256:{hashlib.sha256(Path(place).read_bytes()).hexdigest()}"


def code_version() -> TrainerCode:
    """Return version and digest of the code and, in a Git checkout, the revision and whether files differ from it."""
    root = Path(elp_core.__file__).resolve().parents[1]
    found = TrainerCode(metadata.version("elp-foundry"), code_digest())
    revision = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else ""
    if not revision:
        return found
    changed = _git(root, "status", "--porcelain", "--untracked-files=all", "--", "elp_core", "pipelines")
    return replace(found, revision=revision, dirty=bool(changed))


def installed_packages() -> list[str]:
    """``name==version`` of everything installed beside the project, sorted."""
    names = {(d.metadata["Name"].lower().replace("_", "-"), d.version) for d in metadata.distributions()}
    return sorted(f"{name}=={version}" for name, version in names if name != "elp-foundry")


def lock_digest(listed: Iterable[str]) -> str:
    """``sha256:…`` of a list that `installed_packages` gave."""
    return "sha256:" + hashlib.sha256("\n".join(listed).encode()).hexdigest()


def packages() -> dict[str, str]:
    """The lock hash (of all installed packages with their versions) and the versions that matter most."""
    listed = installed_packages()
    versions = dict(entry.split("==", 1) for entry in listed)
    return {
        "lock": lock_digest(listed),
        "python": platform.python_version(),
        **{name: versions[name] for name in _NAMED if name in versions},
    }


def hardware() -> TrainerHardware:
    """Return the machine, processor, memory and GPU of this process."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return TrainerHardware(
        system=platform.platform(),
        machine=platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gib=round(memory / 2**30, 1),
        gpu=gpu,
        threads=torch.get_num_threads(),
    )


def collect(
    *,
    slot: str,
    key: str,
    dataset: TrainingDataset,
    golden: PinnedGolden,
    training: TrainedClips,
    backbone: BackboneName,
    config: Mapping[str, Any],
    seed: int,
    flow_run: str = "",
    mlflow_run: str = "",
    validation: Mapping[str, Any],
) -> Lineage:
    """Return the lineage of one training: what is given, and the code, the packages and the machine of this moment.

    Args:
        slot: ``SITE/TASK``.
        key: Training key.
        dataset: The dataset version.
        golden: The golden set whose clips were kept out of training.
        training: The clips that training used.
        backbone: Id and fingerprint.
        config: Adapter and training configuration.
        seed: Seed of the training.
        flow_run: Prefect flow-run id, empty outside a flow.
        mlflow_run: MLflow run id.
        validation: ``metric`` and the numbers measured on the validation split.
    """
    return Lineage(
        slot=slot,
        key=key,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        dataset=dataset,
        golden=golden,
        training=training,
        backbone=backbone,
        config=config,
        seed=seed,
        code=code_version(),
        packages=packages(),
        hardware=hardware(),
        flow_run=flow_run,
        mlflow_run=mlflow_run,
        validation=validation,
    )


def _git(root: Path, *arguments: str) -> str:
    """What Git prints, or nothing where there is no Git or it refuses."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
