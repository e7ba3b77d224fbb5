"""Several adapters trained in one pass over the backbone that they share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from elp_core.adapters import ElpAdapters, Part, mixed_frames
from elp_core.assemble import pick_device
from elp_core.backbones import CNN
from elp_core.config import TrainConfig
from elp_core.data.store import TensorStore
from elp_core.errors import ElpError, FingerprintMismatch, TrainingError
from elp_core.model import ElpModel
from elp_core.training.batches import Example, usable
from elp_core.training.events import Observer, Silent, TrainResult
from elp_core.training.loop import Run
from elp_core.training.parallel import make_accelerator
from elp_core.training.seed import Stream, repeatable
from elp_core.types import Clip


@dataclass(frozen=True)
class Job:
    """What `train` is given for one adapter."""

    model: ElpModel
    train_clips: Sequence[Clip]
    validation_clips: Sequence[Clip]
    config: TrainConfig
    observer: Observer | None = None
    checkpoint: Path | None = None
    cache: Path | None = None


@dataclass
class Going:
    """A job under way."""

    place: int
    run: Run
    examples: Iterator[Example]
    excluded: tuple[str, ...]


Loss = tuple[Going, Example, torch.Tensor, float]
"""A job's loss on an example, and its value over all processes."""
Each = Callable[[Callable[[Loss], ElpError | None], Iterable[Loss]], Iterable[ElpError | None]]
"""As `map`: a function of each, in order."""


def train_together(jobs: Sequence[Job]) -> list[TrainResult | ElpError]:
    """Train each job as `train` would, its batches joined with the others' in one pass of the frozen encoder.

    Each job keeps its own batches, loss, optimizer, clipping, dropout, epochs, validation, early stopping and
    checkpoint. Its tensors equal those of `train` within float tolerance: the matrix products are of other sizes, and
    where `train` would keep more of the network than the CNN (no masks, joints or prompt), other values are rounded to
    float16. A checkpoint of one goes on in the other. Memory is that of all the jobs' batches at once.

    Args:
        jobs: on one backbone, with one device and precision. Where one fails the others go on.

    Returns:
        For each job how it ended, or the error that `train` would have raised.

    Raises:
        FingerprintMismatch: where the models are on different backbones.
        TrainingError: where jobs differ in device or precision, share a model or are of another method than ELP, or the
            device is missing.
    """
    _refuse(jobs)
    if not jobs:
        return []
    device = pick_device(jobs[0].config.device)
    ends: dict[int, TrainResult | ElpError] = {}
    # one a folder, which keeps it within its bound
    stores: dict[Path | None, TensorStore] = {at: TensorStore(at) for at in {job.cache for job in jobs} if at}
    with repeatable(device), side_by_side(len(jobs), device) as each:
        going = []
        for place, job in enumerate(jobs):
            try:
                going.append(_begin(place, job, device, stores.get(job.cache)))
            except ElpError as error:
                ends[place] = error
        while going:
            drawn = [(one, example) for one in going if (example := _next(one, ends)) is not None]
            step_together(drawn, ends, each)
            going = [one for one, _ in drawn if one.place not in ends]
    return [ends[place] for place in range(len(jobs))]


def _begin(place: int, job: Job, device: torch.device, store: TensorStore | None) -> Going:
    fit, short = usable(job.model.task, job.train_clips, job.validation_clips)
    model, observer = job.model.to(device), job.observer or Silent()
    accelerator = make_accelerator(device, job.config)
    if accelerator.num_processes > 1:
        raise TrainingError("several adapters are trained in one process; train them apart to use more processes")
    run = Run(model, fit, job.validation_clips, job.config, observer, job.checkpoint, accelerator, store, CNN)
    return Going(place, run, run.steps(), short)


def _next(one: Going, ends: dict[int, TrainResult | ElpError]) -> Example | None:
    """The job's next batch; None where it has come to an end."""
    try:
        example = next(one.examples, None)
        if example is None:
            ends[one.place] = one.run.result(one.excluded)
        return example
    except ElpError as error:
        ends[one.place] = error
        return None


@contextlib.contextmanager
def side_by_side(count: int, device: torch.device) -> Iterator[Each]:
    """How to step the optimizers of `count` runs: in order, and on the CPU several at a time.

    An optimizer's many small tensors keep one core busy; a GPU is given its work by one thread.
    """
    threads = min(count, torch.get_num_threads()) if device.type == "cpu" else 1
    if threads < 2:
        yield map
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="optimizers") as pool:
        yield pool.map


def step_together(
    drawn: Sequence[tuple[Going, Example]], ends: dict[int, TrainResult | ElpError], each: Each = map
) -> None:
    """One step of each job, forward and backward as one; the optimizers' steps go through `each`."""
    if not drawn:
        return
    first = drawn[0][0].run
    device = first.accelerator.device
    parts, streams = [], []
    for one, example in drawn:
        one.run.begin()
        streams.append(Stream(device))
        features, counts = example.values.to(device), example.counts.to(device)
        parts.append(Part(_adapters(one.run.model), features, counts, streams[-1].drawing))
    losses: list[Loss] = []
    with first.accelerator.autocast():
        frames = mixed_frames(first.model.backbone, parts)
        for (one, example), part, stream, mine in zip(drawn, parts, streams, frames, strict=True):
            try:
                with stream.drawing():
                    losses.append((one, example, *one.run.loss(example, mine, part.counts)))
            except ElpError as error:
                ends[one.place] = error
    if losses:
        torch.autograd.backward(torch.stack([_scaled(one.run, loss) for one, _, loss, _ in losses]).sum())
    errors = list(each(_update, losses))
    for (one, _, _, value), failed in zip(losses, errors, strict=True):
        if failed is None:
            one.run.count(value)
        else:
            ends[one.place] = failed


def _update(loss: Loss) -> ElpError | None:
    one, example, _, _ = loss
    try:
        one.run.update(example)
    except ElpError as error:
        return error
    return None


def _scaled(run: Run, loss: torch.Tensor) -> torch.Tensor:
    scaler = run.accelerator.scaler
    result: torch.Tensor = loss if scaler is None else scaler.scale(loss)
    return result


def _refuse(jobs: Sequence[Job]) -> None:
    for job in jobs[1:]:
        expected, got = jobs[0].model.backbone.fingerprint, job.model.backbone.fingerprint
        if got != expected:
            raise FingerprintMismatch(expected, got)
    kinds = sorted({(job.config.device, job.config.precision) for job in jobs})
    if len(kinds) > 1:
        raise TrainingError(
            f"the jobs ask for different devices or precisions: {', '.join(' '.join(kind) for kind in kinds)}; "
            "one pass has one of each: train these jobs apart"
        )
    if any(not isinstance(job.model.adapters, ElpAdapters) for job in jobs):
        raise TrainingError("one pass joins ELP adapters alone; train other methods apart")
    if len({id(job.model) for job in jobs}) < len(jobs):
        raise TrainingError("two jobs train one model; make a model for each")


def _adapters(model: ElpModel) -> ElpAdapters:
    assert isinstance(model.adapters, ElpAdapters)
    return model.adapters
