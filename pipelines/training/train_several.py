"""Train several slots' adapters in one pass over the backbone that they share, and register each by itself."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.errors import ElpError, TrainingError
from pipelines.local.settings import Settings
from pipelines.registry.client import model_registry as registry
from pipelines.registry.signing.keys import key_folder, signing_ring
from pipelines.registry.slot import Slot
from pipelines.training.curves import Curves
from pipelines.training.finished import Trained, disk_errors, find_trained, one_at_a_time, training_folder
from pipelines.training.register import Registered, register, reuse
from pipelines.training.train import (
    Log,
    Material,
    conclude,
    fresh_model,
    gather,
    note_failure,
    open_run,
    opening,
    train_noting_failure,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from elp_core.training import Job


def train_adapters(
    repository: str,
    tags: Mapping[Slot, str],
    settings: Settings,
    *,
    mlflow_uri: str,
    cache: Path,
    keys: Path | None = None,
    flow_run_id: str = "",
    log: Log = print,
) -> dict[Slot, Registered]:
    """Train the adapter of each slot as `train_adapter` does, those that are new in one pass.

    Slots of which the registry has the adapter, or this machine the finished training, take no part in the pass. Slots
    whose settings name another device or precision have a pass of their own.

    Args:
        repository: Path or URL of the workspace's Git repository.
        tags: Dataset version by slot.
        settings: Of the workspace.
        mlflow_uri: Address of the MLflow server.
        cache: Folder for fetched data, trainings and bundles.
        keys: Folder of the key that signs the lineages, as in `train_adapter`.
        flow_run_id: Prefect flow run this belongs to, for the lineage.
        log: Takes one line of progress at a time.

    Raises:
        AttestationError, ServiceError, VersioningError, DataRefused: as `train_adapter`.
        TrainingError: where slots failed, naming them; all others are registered then.
    """
    from elp_core.backbones import Backbone

    client, keys = registry.connect(mlflow_uri), keys or key_folder()
    signing_ring(keys, "lineage")
    backbone = Backbone.from_pretrained(settings.backbone)
    materials = [gather(repository, slot, tag, settings, cache, backbone) for slot, tag in tags.items()]
    done: dict[Slot, Registered] = {}
    failed: dict[Slot, ElpError] = {}
    with contextlib.ExitStack() as locks:
        # always in one order: two processes with slots in common wait for each other, never both
        for material in sorted(materials, key=lambda material: material.key):
            locks.enter_context(one_at_a_time(cache, material.key, log))
        wanted: list[Material] = []
        for material in materials:
            known = registry.find_by_key(client, material.slot, material.key)
            if known is None:
                wanted.append(material)
                continue
            done[material.slot] = reuse(client, known, cache, keys, log)
        runs = {material.slot: open_run(client, material) for material in wanted}
        found = {material.slot: find_trained(cache, material.key) for material in wanted}
        fresh = [material for material in wanted if found[material.slot] is None]
        for group in _passes(fresh):
            for slot, end in _train(client, runs, group, cache, flow_run_id, log).items():
                if isinstance(end, Trained):
                    found[slot] = end
                else:
                    failed[slot] = end
        new = {material.slot for material in fresh}
        for slot, trained in found.items():
            if trained is not None:
                done[slot] = register(client, slot, runs[slot], trained, keys, reused=slot not in new, log=log)
    _tell(failed)
    return {slot: done[slot] for slot in tags}


def _passes(materials: Sequence[Material]) -> list[list[Material]]:
    """Materials by what one pass must have in common."""
    groups: dict[tuple[str, str], list[Material]] = {}
    for material in materials:
        config = material.settings.train
        groups.setdefault((config.device, config.precision), []).append(material)
    return list(groups.values())


def _train(
    client: MlflowClient, runs: Mapping[Slot, str], group: Sequence[Material], cache: Path, flow_run_id: str, log: Log
) -> dict[Slot, Trained | ElpError]:
    """Train a group in one pass; for each slot its training, or why it failed."""
    if len(group) > 1:
        return _train_together(client, runs, group, cache, flow_run_id, log)
    slot = group[0].slot
    try:
        return {slot: train_noting_failure(client, runs[slot], group[0], cache, flow_run_id, log)}
    except ElpError as error:
        return {slot: error}


def _train_together(
    client: MlflowClient, runs: Mapping[Slot, str], group: Sequence[Material], cache: Path, flow_run_id: str, log: Log
) -> dict[Slot, Trained | ElpError]:
    from elp_core.training import train_together

    started = time.monotonic()
    logs = {material.slot: _naming(material.slot, log) for material in group}
    curves = {slot: Curves(client, runs[slot], log) for slot, log in logs.items()}
    ends: dict[Slot, Trained | ElpError] = {}

    def failed(slot: Slot, error: ElpError) -> None:
        note_failure(client, runs[slot], error)
        ends[slot] = error

    try:
        jobs: dict[Slot, Job] = {}
        for material in group:
            try:
                jobs[material.slot] = _job(material, curves[material.slot], cache, log)
            except ElpError as error:
                failed(material.slot, error)
        results = dict(zip(jobs, train_together(list(jobs.values())), strict=True))
        for material in (one for one in group if one.slot in jobs):
            slot, folder, result = material.slot, training_folder(cache, material.key), results[material.slot]
            if isinstance(result, ElpError):
                failed(slot, result)
                continue
            beside = tuple(str(other) for other in jobs if other != slot)
            noted, seconds = dataclasses.replace(material, beside=beside), time.monotonic() - started
            try:
                model = jobs[slot].model
                ends[slot] = conclude(noted, model, result, seconds, folder, runs[slot], flow_run_id, logs[slot])
            except ElpError as error:
                failed(slot, error)
    except BaseException as error:
        for slot in logs.keys() - ends.keys():
            note_failure(client, runs[slot], error)
        raise
    for slot, end in ends.items():
        if isinstance(end, Trained):
            curves[slot].finish()
    return ends


def _job(material: Material, observer: Curves, cache: Path, log: Log) -> Job:
    from elp_core.training import Job

    folder = training_folder(cache, material.key)
    log(opening(material))
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    config, checkpoint = material.settings.train, folder / "checkpoint"
    model, features = fresh_model(material), cache / "features"
    return Job(model, material.train, material.validation, config, observer, checkpoint, features)


def _naming(slot: Slot, log: Log) -> Log:
    return lambda line: log(f"{slot}: {line}")


def _tell(failed: Mapping[Slot, ElpError]) -> None:
    if failed:
        reasons = "\n".join(f"{slot}: {error}" for slot, error in failed.items())
        raise TrainingError(f"{len(failed)} slot(s) could not be trained, the others are registered\n{reasons}")
