"""The training loop: one adapter on one backbone, resumable at any step to the same numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from elp_core.assemble import pick_device, prefix_cache
from elp_core.backbones import Prefix
from elp_core.config import TrainConfig
from elp_core.data.store import DISK_BYTES, TensorStore
from elp_core.errors import NoGradient, NonFiniteLoss
from elp_core.model import ElpModel
from elp_core.training.batches import Example, Examples, usable
from elp_core.training.checkpoint import Checkpoint, moments, read_checkpoint, restore_moments, write_checkpoint
from elp_core.training.events import EpochRecord, Observer, Silent, TrainResult
from elp_core.training.identity import run_digest
from elp_core.training.optim import make_optimizer, set_rates
from elp_core.training.parallel import make_accelerator, sum_gradients, sum_loss, validate
from elp_core.training.seed import repeatable, seed_step
from elp_core.types import Clip


@dataclass
class Progress:
    """Where training stands; all of it goes into the checkpoint."""

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
    history: list[dict[str, float]] = field(default_factory=list)


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

    What no adapter touches is run once for each clip, and kept: `ElpModel.prefix` says how much that is. Masked
    features and joined clips are new in each step, so with them in `config.augment` the CNN alone is kept.

    The same model, clips and configuration give the same tensors, bit for bit on one machine, whether the run went
    through or was killed and resumed from its checkpoint. Several processes (`elp_core.training.parallel`) give them
    within rounding where there is no dropout; the first of them is heard by the observer and writes the checkpoints.

    Args:
        model: left on the device of the training with the tensors of the best epoch.
        train_clips: with their audio. Clips with fewer frames than their target needs are left out, and named in
            `TrainResult.excluded`.
        validation_clips: scored after each epoch; the task's metric on them chooses the best epoch.
        config: the run.
        observer: hears of steps and epochs.
        checkpoint: folder of the checkpoint. Where one of this run is there, training goes on from it.
        cache: folder for what the frozen prefix gives for recordings, shared with other runs and processes; without one
            it is kept in memory. Never a result depends on it.
        cache_bytes: bound on that folder; what was not used for longest goes first.

    Raises:
        TrainingError: where there is nothing to train on or validate with, or the device is missing.
        NoGradient: where a trainable tensor has no part in the loss.
        NonFiniteLoss: where the loss or a gradient becomes NaN or infinite.
        CheckpointError: where a checkpoint cannot be written or belongs to another run.
        CorpusError: where the validation clips cannot be scored.
    """
    fit, short = usable(model.task, train_clips, validation_clips)
    accelerator = make_accelerator(pick_device(config.device), config)
    store = TensorStore(cache, cache_bytes) if cache else None
    with repeatable(accelerator.device):
        model.to(accelerator.device)
        run = Run(model, fit, validation_clips, config, observer or Silent(), checkpoint, accelerator, store)
        return run.finish(short)


class Run:
    """One run: the parts that the steps share."""

    def __init__(
        self,
        model: ElpModel,
        clips: Sequence[Clip],
        validation: Sequence[Clip],
        config: TrainConfig,
        observer: Observer,
        folder: Path | None,
        accelerator: Any,
        store: TensorStore | None = None,
        prefix: Prefix | None = None,
    ) -> None:
        self.model, self.validation, self.config = model, validation, config
        self.observer, self.folder = (observer if accelerator.is_main_process else Silent()), folder
        self.accelerator = accelerator
        self.heard = prefix_cache(model.backbone, model.prefix, store=store)
        # what the batches hold: the longest prefix, unless another is asked for
        self.examples = Examples(clips, model.task, model.backbone, config, prefix or model.prefix, store)
        self.parameters = model.trainable()
        self.names: dict[torch.Tensor, str] = {parameter: name for name, parameter in self.parameters.items()}
        self.optimizer = make_optimizer(self.parameters, config)
        self.stepper = self.accelerator.prepare(self.optimizer)
        self.progress, self.best = Progress(), _copy(model.state())
        self.batches, self.rates = 0, dict[str, float]()
        self.digest = run_digest(model, clips, validation, config)
        self.began = self.saved = time.monotonic()
        found = read_checkpoint(folder, self.digest) if folder else None
        if found is not None:
            self._restore(found)

    def finish(self, excluded: tuple[str, ...]) -> TrainResult:
        """Train to the end, leave the best state in the model."""
        for example in self.steps():
            self.step(example)
        return self.result(excluded)

    def steps(self) -> Iterator[Example]:
        """Each batch to the end of the run, validated after each epoch; learn from one before asking for the next."""
        progress, config = self.progress, self.config
        part, parts = self.accelerator.process_index, self.accelerator.num_processes
        while progress.epoch < config.epochs and not (config.patience and progress.stale >= config.patience):
            self.model.train()
            self.batches = len(self.examples.plan(progress.epoch))
            for example in self.examples.batches(progress.epoch, progress.batch, part, parts):
                yield example
                if self.folder and time.monotonic() - self.saved >= 60 * config.checkpoint_minutes:
                    self._save()
            self._validate()
        self._save()

    def result(self, excluded: tuple[str, ...]) -> TrainResult:
        """The run's end: the best state goes into the model."""
        progress = self.progress
        self.model.load_state(self.best)
        self.model.eval()
        history = tuple(EpochRecord(**_record(entry)) for entry in progress.history)
        return TrainResult(
            progress.step, progress.epoch, progress.best_epoch, progress.best_value, self._seconds(), history, excluded
        )

    def _validate(self) -> None:
        progress = self.progress
        value = validate(self.accelerator, self.model, self.validation, self.config, self.heard)
        loss = progress.loss_sum / self.batches
        progress.epoch, progress.batch, progress.loss_sum = progress.epoch + 1, 0, 0.0
        self._judge(value)
        progress.history.append(asdict(EpochRecord(progress.epoch, loss, value, self._seconds())))
        self.observer.on_epoch(progress.epoch, loss, value)

    def step(self, example: Example) -> None:
        """Learn from one batch."""
        self.begin()
        accelerator = self.accelerator
        with accelerator.autocast():
            values, counts = example.values.to(accelerator.device), example.counts.to(accelerator.device)
            frames, counts = self.model.from_prefix(self.examples.prefix, values, counts)
            loss, value = self.loss(example, frames, counts)
        accelerator.backward(loss)
        sum_gradients(accelerator, self.parameters.values())
        self.update(example)
        self.count(value)

    def begin(self) -> None:
        """Set the step's random state and learning rates."""
        progress, config = self.progress, self.config
        seed_step(config.seed, progress.epoch, progress.batch, self.accelerator.process_index)
        done = (progress.epoch + (progress.batch + 1) / (self.batches + 1)) / config.epochs
        self.rates = set_rates(self.optimizer, done, config.warmup)

    def loss(self, example: Example, frames: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, float]:
        """This process's part of the loss of frames [B, F, dim] with `counts` [B] real ones, and the whole of it.

        Raises:
            NonFiniteLoss: where it is NaN or infinite.
        """
        targets = _move(example.targets, self.accelerator.device)
        # the loss of ASR comes from the CPU
        own = self.model.task.loss(self.model.head, frames, counts, targets).to(self.accelerator.device)
        loss = example.share * own
        value = sum_loss(self.accelerator, loss)
        if not math.isfinite(value):
            raise NonFiniteLoss(self.progress.step + 1, value, example.ids)
        return loss, value

    def update(self, example: Example) -> None:
        """One step of the optimizer from the gradients of the example's loss.

        Raises:
            NoGradient: in the first step, where a trainable tensor has none.
            NonFiniteLoss: where the gradient is NaN or infinite.
        """
        norm = self.accelerator.clip_grad_norm_(self.parameters.values(), self.config.clip_norm)
        if self.progress.step == 0:
            _check_gradients(self.parameters)
        # in float16 the scaler skips a step that overflowed
        if self.config.precision != "fp16" and not math.isfinite(float(norm)):
            raise NonFiniteLoss(self.progress.step + 1, float(norm), example.ids)
        self.stepper.step()
        self.stepper.zero_grad(set_to_none=True)

    def count(self, value: float) -> None:
        """Note that a step with a loss of `value` is done."""
        progress = self.progress
        progress.step, progress.batch = progress.step + 1, progress.batch + 1
        progress.loss_sum += value
        self.observer.on_step(progress.step, max(progress.step, self.batches * self.config.epochs), value, self.rates)

    def _judge(self, value: float) -> None:
        """Keep the best state. Of equals the later one, which trained at a lower rate."""
        progress = self.progress
        better, first = value < progress.best_value, progress.best_epoch == 0
        if value <= progress.best_value:
            progress.best_value, progress.best_epoch, self.best = value, progress.epoch, _copy(self.model.state())
        # CTC answers nothing in its first epochs: before a first improvement, waiting is no sign of having learned all
        improved = any(entry["value"] > progress.best_value for entry in progress.history)
        progress.stale = 0 if better or first or not improved else progress.stale + 1

    def _save(self) -> None:
        if self.folder is None or not self.accelerator.is_main_process:
            return
        state = {**asdict(self.progress), "seconds": self._seconds(), "scaler": self._scaler_state()}
        state["best_value"] = None if math.isinf(self.progress.best_value) else self.progress.best_value
        kept = Checkpoint(self.model.state(), self.best, moments(self.optimizer, self.names), state)
        write_checkpoint(self.folder, kept, self.digest)
        self.saved = time.monotonic()

    def _restore(self, found: Checkpoint) -> None:
        values = dict(found.progress)
        scaler = values.pop("scaler")
        values["best_value"] = math.inf if values["best_value"] is None else values["best_value"]
        self.progress = Progress(**values)
        self.model.load_state(found.tensors)
        self.best = dict(found.best)
        restore_moments(self.optimizer, self.parameters, found.moments)
        if scaler and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(scaler)

    def _scaler_state(self) -> dict[str, float]:
        scaler = self.accelerator.scaler
        return dict(scaler.state_dict()) if scaler is not None else {}

    def _seconds(self) -> float:
        return self.progress.seconds + time.monotonic() - self.began


def _check_gradients(parameters: dict[str, torch.nn.Parameter]) -> None:
    """Refuse tensors without any gradient; one lone value may have a zero one (the weight of a single layer)."""
    idle = [
        name
        for name, parameter in parameters.items()
        if parameter.grad is None or (parameter.numel() > 1 and not parameter.grad.any())
    ]
    if idle:
        raise NoGradient(sorted(idle))


def _record(entry: dict[str, float]) -> dict[str, Any]:
    return {**entry, "epoch": int(entry["epoch"])}


def _copy(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}


def _move(targets: Any, device: torch.device) -> Any:
    if isinstance(targets, torch.Tensor):
        return targets.to(device)
    return tuple(_move(part, device) for part in targets)
