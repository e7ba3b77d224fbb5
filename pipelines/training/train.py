"""Train the adapters of one slot or several and register them; the same inputs are never trained twice."""

from __future__ import annotations

import contextlib
import os.path
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.errors import ElpError, OpsError, TrainingError
from pipelines.errors import RunCancelled, ServiceError
from pipelines.local.settings import Settings
from pipelines.number_text import count, metric_title, percent
from pipelines.progress_text import Report
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client import model_registry, runs, server_api
from pipelines.registry.client.connection import connect
from pipelines.registry.signing.keys import key_folder, load_signing_keys
from pipelines.registry.slot import Slot
from pipelines.training.curves import Curves
from pipelines.training.finished import (
    Trained,
    disk_errors,
    find_trained,
    finish_training,
    one_at_a_time,
    training_folder,
)
from pipelines.training.inputs import TrainingInputs, gather_inputs
from pipelines.training.pass_progress import PassProgress, Stoppable
from pipelines.training.register import Registered, register_trained, reuse_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from elp_core.training import Job, TrainResult

Log = Callable[[str], None]
Check = Callable[[Slot], None]


@dataclass(frozen=True)
class _SlotTraining:
    """One slot's training under way, with its MLflow run and its folder."""

    inputs: TrainingInputs
    client: MlflowClient
    run_id: str
    folder: Path
    log: Log

    @property
    def slot(self) -> Slot:
        return self.inputs.slot

    def note_failure(self, error: BaseException) -> None:
        """End the MLflow run as failed with the reason; if MLflow is gone too, `error` is the one to report."""
        with contextlib.suppress(OpsError):
            runs.set_run_tags(self.client, self.run_id, {"elp.error": f"{type(error).__name__}: {error}"[:500]})
            # an interrupt or a cancelled flow is no fault of the training
            fault = isinstance(error, Exception) and not isinstance(error, RunCancelled)
            runs.close_run(self.client, self.run_id, "FAILED" if fault else "KILLED")


def train_adapters(
    repository: str, tags: Mapping[Slot, str], settings: Settings, **options: Any
) -> dict[Slot, Registered]:
    """Train an adapter for each slot on its dataset version, and register it as a candidate.

    The arguments and the errors are those of `train_each`. An error of one slot is raised, too: with several slots a
    TrainingError names those that failed, and all others are registered.
    """
    ends = train_each(repository, tags, settings, **options)
    _raise_failures(len(tags), {slot: end for slot, end in ends.items() if isinstance(end, ElpError)})
    return {slot: end for slot, end in ends.items() if isinstance(end, Registered)}


def train_each(
    repository: str,
    tags: Mapping[Slot, str],
    settings: Settings,
    *,
    mlflow_uri: str,
    cache: Path,
    keys: Path | None = None,
    address: str = "",
    flow_run_id: str | Mapping[Slot, str] = "",
    log: Log | Mapping[Slot, Log] = print,
    progress: Report | None = None,
    check: Check | None = None,
) -> dict[Slot, Registered | ElpError]:
    """Train an adapter for each slot; return for each slot its registered version, or why it has none.

    A version that the registry has already is returned; a training that this machine finished but could not register is
    registered; an interrupted training continues from its checkpoint. The other slots are trained in one pass over the
    backbone, or in several if their settings name different devices, precisions or backbones.

    `tags` gives the dataset version of each slot, such as ``data/plant-a/asr/v3``; `keys` is the folder of the key that
    signs the lineages (None takes ELP_KEYS, else that of the present workspace); `address` names the repository in them
    if it is not `repository`, the folder of a clone. `flow_run_id` is the flow run of all slots, or that of each slot;
    `log` likewise. `progress` is called after each step of the pass. `check` is called after each step of a slot; an
    ElpError that it raises ends the training of this slot, and the others continue.

    Raise AttestationError if this machine has no key to sign with, ServiceError if MLflow is gone (a finished training
    is kept for the next call), or an error of `gather_inputs`: nothing was trained then.
    """
    client, keys = connect(mlflow_uri), keys or key_folder()
    load_signing_keys(keys, "lineage")
    logs = log if isinstance(log, Mapping) else {slot: _naming(slot, log, len(tags)) for slot in tags}
    ends: dict[Slot, Registered | ElpError] = {}
    wanted: list[TrainingInputs] = []
    for inputs in gather_inputs(client, repository, tags, settings, cache, address):
        if known := _known(client, inputs, logs[inputs.slot]):
            ends[inputs.slot] = reuse_version(client, known, cache, keys, logs[inputs.slot])
        else:
            wanted.append(inputs)
    with contextlib.ExitStack() as locks:
        # always in one order: two processes with common slots must not wait for each other
        for inputs in sorted(wanted, key=lambda inputs: inputs.key):
            locks.enter_context(one_at_a_time(cache, inputs.key, logs[inputs.slot]))
        trainings = [_open(client, inputs, cache, logs[inputs.slot]) for inputs in wanted]
        # under the locks: a process that held one may have finished this training
        found = {training.slot: find_trained(cache, training.inputs.key) for training in trainings}
        trained: dict[Slot, Trained | ElpError] = {slot: one for slot, one in found.items() if one}
        flow_runs = flow_run_id if isinstance(flow_run_id, Mapping) else dict.fromkeys(tags, flow_run_id)
        shared = _Shared(repository, settings, mlflow_uri, cache, flow_runs, progress, check)
        for group in _passes([training for training in trainings if training.slot not in trained]):
            trained |= _train_pass(group, shared)
        for training in trainings:
            reused = found[training.slot] is not None
            if reused:
                training.log("this machine has the finished training already; registering it")
            ends[training.slot] = _register(training, trained[training.slot], keys, reused=reused)
    return {slot: ends[slot] for slot in tags}


def _register(training: _SlotTraining, end: Trained | ElpError, keys: Path, *, reused: bool) -> Registered | ElpError:
    """Register a finished training; what is wrong with one slot does not keep the others from being registered."""
    if isinstance(end, ElpError):
        return end
    try:
        return register_trained(
            training.client, training.slot, training.run_id, end, keys, reused=reused, log=training.log
        )
    except ServiceError:
        raise
    except ElpError as error:
        return error


def _known(client: MlflowClient, inputs: TrainingInputs, log: Log) -> AdapterVersion | None:
    """Return the version that these inputs made before, or None; one in the trash of the retention comes back."""
    registered = (model_registry.find_by_key(client, inputs.slot, key) for key in inputs.known_keys)
    if known := next(filter(None, registered), None):
        return known
    if (version := server_api.bring_back_trained(client.tracking_uri, inputs.slot, inputs.known_keys)) is None:
        return None
    log(f"{inputs.slot} v{version} is back from the trash")
    return model_registry.get(client, inputs.slot, version)


def _open(client: MlflowClient, inputs: TrainingInputs, cache: Path, log: Log) -> _SlotTraining:
    """Open the MLflow run of a training: a new one, or the one that an earlier call left open."""
    slot, dataset = inputs.slot, inputs.data.dataset
    tags = {"elp.slot": str(slot), "elp.dataset": dataset.tag, "elp.backbone": inputs.backbone.id}
    run_id = runs.open_run(client, slot, inputs.key, f"{slot} on {dataset.tag.rsplit('/', 1)[-1]}", tags)
    return _SlotTraining(inputs, client, run_id, training_folder(cache, inputs.key), log)


@dataclass(frozen=True)
class _Shared:
    """What all trainings of a call have in common."""

    repository: str
    settings: Settings
    mlflow_uri: str
    cache: Path
    flow_runs: Mapping[Slot, str]
    """The flow run of each slot; empty outside one."""
    progress: Report | None
    check: Check | None


def _passes(trainings: Sequence[_SlotTraining]) -> list[list[_SlotTraining]]:
    """Group trainings by what one pass must have in common; a training in several processes has a pass of its own."""
    groups: dict[tuple[str, ...], list[_SlotTraining]] = {}
    for training in trainings:
        config, processes = training.inputs.settings.train, training.inputs.settings.compute.processes
        common = (config.device, config.precision, training.inputs.backbone.fingerprint)
        groups.setdefault((*common, *([str(training.slot)] if processes > 1 else [])), []).append(training)
    return list(groups.values())


def _train_jobs(
    group: Sequence[_SlotTraining], jobs: Mapping[Slot, Job], shared: _Shared
) -> list[TrainResult | ElpError]:
    """Train the jobs of a group in one pass in this process, or the only one of a group in several processes."""
    from elp_core.training import train_together

    inputs = group[0].inputs
    processes = inputs.settings.compute.processes
    if processes == 1 or not jobs:
        return train_together(list(jobs.values()))
    from pipelines.training.ranks import train_in_ranks

    (job,) = jobs.values()
    group[0].log(f"training in {processes} processes")
    where: dict[str, Any] = {"mlflow_uri": shared.mlflow_uri, "cache": shared.cache, "repository": shared.repository}
    try:
        return [train_in_ranks(inputs, job, shared.settings, processes, **where)]
    except ElpError as error:
        return [error]


def _train_pass(group: Sequence[_SlotTraining], shared: _Shared) -> dict[Slot, Trained | ElpError]:
    """Train a group in one pass; return for each slot its finished training, or why it failed."""
    ends: dict[Slot, Trained | ElpError] = {}
    features = shared.cache / "features"
    whole = PassProgress(shared.progress) if shared.progress else None
    curves = {training.slot: Curves(training.client, training.run_id, training.log) for training in group}

    @contextlib.contextmanager
    def noting_failure(training: _SlotTraining) -> Iterator[None]:
        try:
            yield
        except ElpError as error:
            training.note_failure(error)
            ends[training.slot] = error

    try:
        jobs: dict[Slot, Job] = {}
        for training in group:
            with noting_failure(training):
                jobs[training.slot] = _job(training, curves[training.slot], features, whole, shared.check)
        began = time.monotonic()
        with disk_errors(Path(os.path.commonpath([training.folder for training in group]))):
            results = dict(zip(jobs, _train_jobs(group, jobs, shared), strict=True))
        seconds = time.monotonic() - began
        for training in group:
            slot, result = training.slot, results.get(training.slot)
            if result is None:
                continue
            with noting_failure(training):
                if isinstance(result, ElpError):
                    raise result
                model, others = jobs[slot].model, tuple(str(other) for other in jobs if other != slot)
                flow_run = shared.flow_runs[slot]
                trained = finish_training(
                    training.inputs, model, result, training.folder, training.run_id, flow_run, seconds, others
                )
                reached = f"{metric_title(trained.metric)} {percent(trained.value)} on the validation split"
                training.log(f"trained in {seconds:.0f} s: {reached}")
                ends[slot] = trained
    # a cancelled run too: MLflow would show it as running for ever
    except BaseException as error:
        for training in group:
            if training.slot not in ends:
                training.note_failure(error)
        raise
    for slot, end in ends.items():
        if isinstance(end, Trained):
            curves[slot].finish()
    return ends


def _job(
    training: _SlotTraining, curves: Curves, features: Path, whole: PassProgress | None, check: Check | None
) -> Job:
    from elp_core.training import Job

    inputs, folder = training.inputs, training.folder
    model = inputs.new_model()
    curves.metric = metric_title(model.task.metric)
    training.log(f"training {inputs}{inputs.start.text}{inputs.licence_note}")
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    data, config = inputs.data, inputs.settings.train
    watched = whole.watch(str(training.slot), model.task.metric, config.epochs, curves) if whole else curves
    observer = Stoppable(watched, partial(check, training.slot)) if check else watched
    return Job(model, data.train, data.validation, config, observer, folder / "checkpoint", features)


def _naming(slot: Slot, log: Log, slots: int) -> Log:
    """Return `log`; of several slots it puts the name before each line that lacks it."""
    return log if slots == 1 else lambda line: log(line if str(slot) in line else f"{slot}: {line}")


def _raise_failures(slots: int, failed: Mapping[Slot, ElpError]) -> None:
    if failed and slots == 1:
        raise next(iter(failed.values()))
    if failed:
        reasons = "\n".join(f"{slot}: {error}" for slot, error in failed.items())
        raise TrainingError(
            f"{count(len(failed), 'slot')} could not be trained, the others are registered\n{reasons}"
        ) from next(iter(failed.values()))
