"""One training under way: model, batches, optimizer, progress and checkpoint of one job."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from elp_core.assemble import prefix_cache
from elp_core.backbones import Prefix
from elp_core.config import TrainConfig
from elp_core.data.store import DISK_BYTES, TensorStore
from elp_core.errors import NoGradient, NonFiniteLoss
from elp_core.model import ElpModel
from elp_core.training.batches import Batch, TrainingBatches, trainable_clips
from elp_core.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    moments,
    restore_moments,
    run_digest,
    save_checkpoint,
)
from elp_core.training.events import EpochRecord, Observer, Silent, TrainResult
from elp_core.training.optim import make_optimizer, set_rates
from elp_core.training.parallel import sum_gradients, sum_loss, validate
from elp_core.training.seed import seed_step
from elp_core.types import Clip

BEFORE_SHARE = 0.01
"""Largest part of a training that may be spent on validating the untrained model."""
_ANSWER_SHARE = 1 / 3
"""Time of an answer as a part of that of a training step on the same audio, which has a backward pass, too."""


@dataclass(frozen=True)
class Job:
    """The inputs of one training; `elp_core.training.train` describes each."""

    model: ElpModel
    train_clips: Sequence[Clip]
    validation_clips: Sequence[Clip]
    config: TrainConfig
    observer: Observer | None = None
    checkpoint: Path | None = None
    cache: Path | None = None
    cache_bytes: int = DISK_BYTES


@dataclass
class Progress:
    """The progress of a training; all of it goes into the checkpoint."""

    epoch: int = 0
    """Epochs finished."""
    batch: int = 0
    """Steps finished in the present epoch."""
    step: int = 0
    loss_sum: float = 0.0
    best_epoch: int = 0
    best_value: float = math.inf
    stale: int = 0
    """Validations without improvement."""
    seconds: float = 0.0
    before: float | None = None
    """The metric on the validation clips before the first step; None if it was not measured."""
    history: list[EpochRecord] = field(default_factory=list)


class TrainingRun:
    """One job under way: take a batch from `batches`, learn from it, take the next.

    The model is moved to the accelerator's device. `store` has the files of the prefix's values; None keeps them in
    memory. `prefix` is what the training batches hold; None is the longest prefix that the model has.
    """

    def __init__(
        self, job: Job, accelerator: Any, store: TensorStore | None = None, prefix: Prefix | None = None
    ) -> None:
        self.model, self.config, self.accelerator = job.model, job.config, accelerator
        task, backbone = job.model.task, job.model.backbone
        clips, self._excluded = trainable_clips(task, backbone, job.train_clips, job.validation_clips)
        self._validation, self._folder = job.validation_clips, job.checkpoint
        self._observer = (job.observer if accelerator.is_main_process else None) or Silent()
        model = self.model.to(accelerator.device)
        self._validation_cache = prefix_cache(model.backbone, model.prefix, store=store)
        self._data = TrainingBatches(clips, model.task, model.backbone, self.config, prefix or model.prefix, store)
        self._parameters = model.trainable()
        self._names: dict[torch.Tensor, str] = {parameter: name for name, parameter in self._parameters.items()}
        self._optimizer = make_optimizer(self._parameters, self.config)
        self._stepper = accelerator.prepare(self._optimizer)
        self._progress, self._best = Progress(), _copy(model.state())
        self._steps_per_epoch, self._rates = 0, dict[str, float]()
        self._cheap = _cheap_before(clips, job.validation_clips, self.config.epochs)
        self._digest = run_digest(model, clips, job.validation_clips, self.config)
        self._began = self._saved = time.monotonic()
        found = load_checkpoint(job.checkpoint, self._digest) if job.checkpoint else None
        if found is not None:
            self._restore(found)
        self.batches = self._batches()
        """The batches up to the end of the run; asking for the next one validates after each epoch."""

    def _batches(self) -> Iterator[Batch]:
        progress, config = self._progress, self.config
        part, parts = self.accelerator.process_index, self.accelerator.num_processes
        if self._cheap and progress.step == 0:
            # each step sets its own random state, so this changes no tensor
            progress.before = self._value()
        while progress.epoch < config.epochs and not (config.patience and progress.stale >= config.patience):
            self.model.train()
            self._steps_per_epoch = len(self._data.plan(progress.epoch))
            for batch in self._data.batches(progress.epoch, progress.batch, part, parts):
                yield batch
                # the caller has learned from the batch by the time it asks for the next one
                if self._folder and time.monotonic() - self._saved >= 60 * config.checkpoint_minutes:
                    self._save()
            self._validate()
        self._save()

    def result(self) -> TrainResult:
        """Put the best state into the model, and return what the run reached."""
        progress = self._progress
        self.model.load_state(self._best)
        self.model.eval()
        best, history = (progress.best_epoch, progress.best_value), tuple(progress.history)
        seconds, excluded = self._seconds(), self._excluded
        return TrainResult(progress.step, progress.epoch, *best, seconds, history, excluded, progress.before)

    def _value(self) -> float:
        return validate(self.accelerator, self.model, self._validation, self.config, self._validation_cache)

    def _validate(self) -> None:
        progress, value = self._progress, self._value()
        loss = progress.loss_sum / self._steps_per_epoch
        progress.epoch, progress.batch, progress.loss_sum = progress.epoch + 1, 0, 0.0
        self._keep_best(value)
        progress.history.append(EpochRecord(progress.epoch, loss, value, self._seconds()))
        self._observer.on_epoch(progress.epoch, loss, value)

    def step(self, batch: Batch) -> None:
        """Learn from one batch: forward, backward, optimizer; raises as `loss` and `update` do."""
        self.begin()
        accelerator = self.accelerator
        with accelerator.autocast():
            values, counts = batch.values.to(accelerator.device), batch.counts.to(accelerator.device)
            frames, counts = self.model.from_prefix(self._data.prefix, values, counts)
            loss, value = self.loss(batch, frames, counts)
        accelerator.backward(loss)
        sum_gradients(accelerator, self._parameters.values())
        self.update(batch)
        self.count(value)

    def begin(self) -> None:
        """Set the step's random state and learning rates."""
        progress, config = self._progress, self.config
        seed_step(config.seed, progress.epoch, progress.batch, self.accelerator.process_index)
        # + 1: neither the first nor the last step of a run has a rate of zero
        done = (progress.epoch + (progress.batch + 1) / (self._steps_per_epoch + 1)) / config.epochs
        self._rates = set_rates(self._optimizer, done, config.warmup)

    def loss(self, batch: Batch, frames: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Return this process's part of the loss of frames [B, F, dim] with `counts` [B] real ones, and the whole loss.

        Raises:
            NonFiniteLoss: The loss is NaN or infinite.
        """
        targets = _move(batch.targets, self.accelerator.device)
        # ASR computes its loss on the CPU
        own = self.model.task.loss(self.model.head, frames, counts, targets).to(self.accelerator.device)
        loss = batch.share * own
        value = sum_loss(self.accelerator, loss)
        if not math.isfinite(value):
            raise NonFiniteLoss(self._progress.step + 1, value, batch.ids)
        return loss, value

    def update(self, batch: Batch) -> None:
        """Step the optimizer by the gradients of the batch's loss.

        Raises:
            NoGradient: In the first step a trainable tensor has none.
            NonFiniteLoss: The gradient is NaN or infinite.
        """
        norm = self.accelerator.clip_grad_norm_(self._parameters.values(), self.config.clip_norm)
        # transformers reads some weights without calling their module: an adapter there never learns, without an error
        if self._progress.step == 0:
            _check_gradients(self._parameters)
        # in float16 the scaler skips a step that overflowed
        if self.config.precision != "fp16" and not math.isfinite(float(norm)):
            raise NonFiniteLoss(self._progress.step + 1, float(norm), batch.ids)
        self._stepper.step()
        # None, not zeros: AdamW would decay a tensor whose gradient is zero
        self._stepper.zero_grad(set_to_none=True)

    def count(self, value: float) -> None:
        """Record a finished step with a loss of `value`."""
        progress = self._progress
        progress.step, progress.batch = progress.step + 1, progress.batch + 1
        progress.loss_sum += value
        # joined clips make epochs of different lengths: the estimate may be below what is done
        total = max(progress.step, self._steps_per_epoch * self.config.epochs)
        self._observer.on_step(progress.step, total, value, self._rates)

    def _keep_best(self, value: float) -> None:
        """Keep the best state; of equal ones the later, which was trained at a lower rate."""
        progress = self._progress
        better, first = value < progress.best_value, progress.best_epoch == 0
        if value <= progress.best_value:
            progress.best_value, progress.best_epoch, self._best = value, progress.epoch, _copy(self.model.state())
        # CTC gives empty answers in its first epochs: epochs before the first improvement do not count as stale
        improved = any(entry.value > progress.best_value for entry in progress.history)
        progress.stale = 0 if better or first or not improved else progress.stale + 1

    def _save(self) -> None:
        if self._folder is None or not self.accelerator.is_main_process:
            return
        scaler = self.accelerator.scaler
        state = {**asdict(self._progress), "seconds": self._seconds()}
        state["scaler"] = dict(scaler.state_dict()) if scaler is not None else {}
        state["best_value"] = None if math.isinf(self._progress.best_value) else self._progress.best_value
        kept = Checkpoint(self.model.state(), self._best, moments(self._optimizer, self._names), state)
        save_checkpoint(self._folder, kept, self._digest)
        self._saved = time.monotonic()

    def _restore(self, found: Checkpoint) -> None:
        values = dict(found.progress)
        scaler = values.pop("scaler")
        values["best_value"] = math.inf if values["best_value"] is None else values["best_value"]  # JSON has no inf
        values["history"] = [EpochRecord(**entry) for entry in values["history"]]
        self._progress = Progress(**values)
        self.model.load_state(found.tensors)
        self._best = dict(found.best)
        restore_moments(self._optimizer, self._parameters, found.moments)
        if scaler and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(scaler)

    def _seconds(self) -> float:
        return self._progress.seconds + time.monotonic() - self._began


def _cheap_before(clips: Sequence[Clip], validation: Sequence[Clip], epochs: int) -> bool:
    """Return whether validating once more costs at most `BEFORE_SHARE` of a training of these epochs."""
    trained = epochs * sum(clip.duration for clip in clips)
    return _ANSWER_SHARE * sum(clip.duration for clip in validation) <= BEFORE_SHARE * trained


def _check_gradients(parameters: dict[str, torch.nn.Parameter]) -> None:
    """Refuse tensors without any gradient; a single value may have a zero one (the weight of a single layer)."""
    idle = [
        name
        for name, parameter in parameters.items()
        if parameter.grad is None or (parameter.numel() > 1 and not parameter.grad.any())
    ]
    if idle:
        raise NoGradient(sorted(idle))


def _copy(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # on the CPU, `to` alone would return the tensor itself, which the optimizer changes
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}


def _move(targets: Any, device: torch.device) -> Any:
    if isinstance(targets, torch.Tensor):
        return targets.to(device)
    return tuple(_move(part, device) for part in targets)
