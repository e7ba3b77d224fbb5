"""The training loop: one adapter or several on one backbone, resumable at any step to the same numbers."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

from elp_core.adapters import ElpAdapters, Part, mixed_frames
from elp_core.assemble import pick_device
from elp_core.backbones import CNN
from elp_core.config import TrainConfig
from elp_core.data.store import DISK_BYTES, TensorStore
from elp_core.errors import ElpError, FingerprintMismatch, TrainingError
from elp_core.model import ElpModel
from elp_core.training.batches import Batch
from elp_core.training.events import Observer, TrainResult
from elp_core.training.parallel import make_accelerator
from elp_core.training.run import Job, TrainingRun
from elp_core.training.seed import Stream, repeatable
from elp_core.types import Clip

Given = TypeVar("Given")
Drawn = Sequence[tuple[TrainingRun, Batch]]
"""Runs, each with its next batch."""
Map = Callable[[Callable[[tuple[TrainingRun, Batch]], ElpError | None], Drawn], Iterable[ElpError | None]]
"""As `map`: calls a function for each, results in order."""


def train(
    model: ElpModel,
    train_clips: Sequence[Clip],
    validation_clips: Sequence[Clip],
    config: TrainConfig,
    observer: Observer | None = None,
    checkpoint: Path | None = None,
    cache: Path | None = None,
    cache_bytes: int = DISK_BYTES,
) -> TrainResult:
    """Train the adapters and the head of `model`; the backbone stays as it is.

    The part of the network that no adapter touches runs once for each clip, and its values are kept: `ElpModel.prefix`
    says which. Masked features and joined clips differ in each step, so with them in `config.augment` only the CNN's
    values are kept.

    The same model, clips and configuration give the same tensors, bit for bit on one machine, whether the run went
    through or was killed and resumed from its checkpoint. Several processes (`elp_core.training.parallel`) give them
    within rounding if there is no dropout; the first process notifies the observer and writes the checkpoints.

    Args:
        model: Left on the device of the training with the tensors of the best epoch.
        train_clips: With their audio. Clips with fewer frames than their target needs are left out, and named in
            `TrainResult.excluded`.
        validation_clips: Scored after each epoch; the task's metric on them chooses the best epoch.
        config: The configuration of the run.
        observer: Notified of steps and epochs.
        checkpoint: Folder of the checkpoint. If it has one of this run, training continues from it.
        cache: Folder for the prefix's values of recordings, shared with other runs and processes; without one they are
            kept in memory. No result depends on it.
        cache_bytes: Limit of that folder; the least recently used files are deleted first.

    Raises:
        TrainingError: There is nothing to train on or to validate with, or the device is missing.
        NoGradient: A trainable tensor has no part in the loss.
        NonFiniteLoss: The loss or a gradient became NaN or infinite.
        CheckpointError: A checkpoint cannot be written or belongs to another run.
        CorpusError: The validation clips cannot be scored.
    """
    job = Job(model, train_clips, validation_clips, config, observer, checkpoint, cache, cache_bytes)
    (end,) = train_together([job])
    if isinstance(end, ElpError):
        raise end
    return end


def train_together(jobs: Sequence[Job]) -> list[TrainResult | ElpError]:
    """Train each job as `train` does, the batches of several joined in one pass of the frozen encoder.

    Each job keeps its own batches, loss, optimizer, clipping, dropout, epochs, validation, early stopping and
    checkpoint. Its tensors equal those of `train` within float tolerance: the matrix products are of other sizes,
    and if `train` would keep values of a later layer than the CNN (no masks, joints or prompt), other values are
    rounded to float16. A checkpoint of one can be continued in the other. Memory is that of all jobs' batches together.

    If one job fails, the others continue.

    Returns:
        For each job its result, or the error that `train` would have raised.

    Raises:
        FingerprintMismatch: The models are on different backbones.
        TrainingError: Jobs differ in device or precision, share a model or are of another method than ELP, or the
            device is missing.
    """
    if not jobs:
        return []
    joint = len(jobs) > 1
    if joint:
        _check_compatible(jobs)
    device = pick_device(jobs[0].config.device)
    ends: dict[int, TrainResult | ElpError] = {}
    running: dict[int, TrainingRun] = {}
    # one store for each folder, so that each keeps within its limit
    limits = {job.cache: job.cache_bytes for job in jobs if job.cache}
    stores = {folder: TensorStore(folder, limit) for folder, limit in limits.items()}
    with repeatable(device), optimizer_map(len(jobs), device) as each:
        for place, job in enumerate(jobs):
            try:
                running[place] = _start(job, device, stores, joint)
            except ElpError as error:
                ends[place] = error
        while running:
            drawn: dict[int, tuple[TrainingRun, Batch]] = {}
            for place, run in running.items():
                try:
                    if batch := next(run.batches, None):
                        drawn[place] = run, batch
                    else:
                        ends[place] = run.result()
                except ElpError as error:
                    ends[place] = error
            if drawn:
                pairs = list(drawn.values())
                errors = step_together(pairs, each) if joint else [_failure(run.step, batch) for run, batch in pairs]
                ends.update((place, error) for place, error in zip(drawn, errors, strict=True) if error)
            running = {place: run for place, (run, _) in drawn.items() if place not in ends}
    return [ends[place] for place in range(len(jobs))]


def _start(job: Job, device: torch.device, stores: dict[Path, TensorStore], joint: bool) -> TrainingRun:
    accelerator = make_accelerator(device, job.config)
    if joint and accelerator.num_processes > 1:
        raise TrainingError("several adapters are trained in one process; train them apart to use more processes")
    # the joint pass begins at the CNN's values, which all jobs have
    return TrainingRun(job, accelerator, stores[job.cache] if job.cache else None, CNN if joint else None)


def step_together(drawn: Drawn, each: Map = map) -> list[ElpError | None]:
    """Make one step of each run, forward and backward as one; return why it failed, or None, for each run.

    The optimizers' steps go through `each`.
    """
    accelerator, backbone = drawn[0][0].accelerator, drawn[0][0].model.backbone
    device = accelerator.device
    parts, streams = [], []
    for run, batch in drawn:
        run.begin()
        streams.append(Stream(device))
        features, counts = batch.values.to(device), batch.counts.to(device)
        assert isinstance(run.model.adapters, ElpAdapters)
        parts.append(Part(run.model.adapters, features, counts, streams[-1].drawing))
    errors: list[ElpError | None] = [None] * len(drawn)
    losses: dict[int, tuple[torch.Tensor, float]] = {}
    with accelerator.autocast():
        frames = mixed_frames(backbone, parts)
        for place, ((run, batch), part, stream, own) in enumerate(zip(drawn, parts, streams, frames, strict=True)):
            try:
                with stream.drawing():
                    losses[place] = run.loss(batch, own, part.counts)
            except ElpError as error:
                errors[place] = error
    if losses:
        # each run has its own scaler, so the losses are scaled before they are added
        scalers = [drawn[place][0].accelerator.scaler for place in losses]
        scaled = [s.scale(loss) if s else loss for s, (loss, _) in zip(scalers, losses.values(), strict=True)]
        # one backward pass: the losses share the graph of the frozen encoder, which the first pass frees
        torch.autograd.backward(torch.stack(scaled).sum())
    updates = list(each(lambda one: _failure(one[0].update, one[1]), [drawn[place] for place in losses]))
    for (place, (_, value)), failed in zip(losses.items(), updates, strict=True):
        errors[place] = failed or _failure(drawn[place][0].count, value)
    return errors


@contextlib.contextmanager
def optimizer_map(count: int, device: torch.device) -> Iterator[Map]:
    """Give a `map` for the optimizer steps of `count` runs: on the CPU several at a time, else in order.

    One optimizer's many small tensors use one core only; a GPU gets its work from one thread.
    """
    threads = min(count, torch.get_num_threads()) if device.type == "cpu" else 1
    if threads < 2:
        yield map
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="optimizers") as pool:
        yield pool.map


def _failure(call: Callable[[Given], None], given: Given) -> ElpError | None:
    try:
        call(given)
    except ElpError as error:
        return error
    return None


def _check_compatible(jobs: Sequence[Job]) -> None:
    for job in jobs[1:]:
        expected, got = jobs[0].model.backbone.fingerprint, job.model.backbone.fingerprint
        if got != expected:
            raise FingerprintMismatch(expected, got)
    passes = sorted({(job.config.device, job.config.precision) for job in jobs})
    if len(passes) > 1:
        raise TrainingError(
            f"the jobs ask for different devices or precisions: {', '.join(' '.join(one) for one in passes)}; "
            "one pass has one of each: train these jobs apart"
        )
    if any(not isinstance(job.model.adapters, ElpAdapters) for job in jobs):
        raise TrainingError("one pass joins ELP adapters only; train other methods apart")
    if len({id(job.model) for job in jobs}) < len(jobs):
        raise TrainingError("two jobs train one model; make a model for each")
