"""One iteration of masked prediction (HuBERT, Hsu et al. 2021) on disturbed windows (WavLM, Chen et al. 2022)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tiny import checkpoint
from tiny.checkpoint import Position
from tiny.device import pick_device, pick_precision
from tiny.network import MaskedPredictor
from tiny.noise import noise_bank
from tiny.schedule import progress, rate_factor
from tiny.settings import Recipe, RecipeError, TrainingSettings
from tiny.windows import WindowBatch, WindowSource, draw_batch

_VALIDATION_BATCHES = 12
_LOG_EVERY = 25


@dataclass(frozen=True)
class IterationResult:
    """The result of an iteration; accuracies are shares of frames whose class was predicted."""

    steps: int
    minutes: float
    seconds_per_step: float
    classes: int
    loss: float
    masked_accuracy: float
    held_out_masked_accuracy: float
    held_out_unmasked_accuracy: float


def loss_of(logits: Tensor, targets: Tensor, mask: Tensor, unmasked_weight: float) -> Tensor:
    """Return the cross-entropy of masked frames, plus a weighted one of the others.

    Args:
        logits: Float32 `[batch, frames, classes]`.
        targets: Int64 `[batch, frames]`.
        mask: Bool `[batch, frames]`.
        unmasked_weight: Weight of the frames that are not masked.
    """
    each = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    masked = (each * mask).sum() / mask.sum().clamp(min=1)
    visible = (each * ~mask).sum() / (~mask).sum().clamp(min=1)
    return masked + unmasked_weight * visible


def make_optimiser(model: MaskedPredictor, settings: TrainingSettings) -> torch.optim.AdamW:
    """Return AdamW; vectors (biases, norms) are not decayed."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), eps=1e-6, fused=True)


class Trainer:
    """The state of iteration `number` (1 is the first): model, optimiser, data, position."""

    def __init__(self, recipe: Recipe, number: int, model: MaskedPredictor) -> None:
        self.settings, self.number, self.seed = recipe.training, number, recipe.seed
        self.iteration = recipe.iterations[number - 1]
        noisy = self.iteration.noisy
        self.batches = recipe.batches if noisy is None else dataclasses.replace(recipe.batches, noisy=noisy)
        self.device = pick_device()
        self.precision = pick_precision(recipe.training.precision, self.device)
        self.model = model.to(self.device)
        self.optimiser = make_optimiser(model, recipe.training)
        self.bank = noise_bank(recipe.seed, recipe.batches.noise_seconds)
        self.position = Position(0, 0.0)

    def _tensors(self, batch: WindowBatch) -> tuple[Tensor, Tensor, Tensor]:
        waves, targets, mask = (torch.from_numpy(a).to(self.device) for a in (batch.waves, batch.targets, batch.mask))
        return waves, targets, mask

    def _logits(self, waves: Tensor, mask: Tensor) -> Tensor:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision is torch.bfloat16):
            logits: Tensor = self.model(waves, mask)
        return logits

    def step(self, source: WindowSource, done: float) -> tuple[float, float]:
        """Learn from one batch and return its loss and masked accuracy. Each step has its own seed, so runs resume."""
        rng = np.random.default_rng([self.seed, self.number, self.position.step])
        torch.manual_seed(int(rng.integers(2**31)))
        waves, targets, mask = self._tensors(draw_batch(source, self.bank, self.batches, self.settings, rng))
        logits = self._logits(waves, mask)
        loss = loss_of(logits, targets, mask, self.settings.unmasked_weight)
        rate = self.settings.learning_rate * rate_factor(done, self.settings.warm_up)
        self._descend(self.optimiser, loss, rate)
        hits = (logits.detach().argmax(-1) == targets)[mask].float().mean()
        return float(loss.detach()), float(hits)

    def front_end_step(
        self, optimiser: torch.optim.Optimizer, source: WindowSource, number: int
    ) -> tuple[float, float]:
        """Teach CNN, projection and head alone, nothing masked; return loss and accuracy."""
        settings = self.settings
        rng = np.random.default_rng([self.seed, 99, number])
        torch.manual_seed(int(rng.integers(2**31)))
        waves, targets, _ = self._tensors(draw_batch(source, self.bank, self.batches, settings, rng))
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision is torch.bfloat16):
            logits: Tensor = self.model.head(self.model.project(waves)).float()
        loss = F.cross_entropy(logits.transpose(1, 2), targets)
        self._descend(optimiser, loss, settings.front_end_rate * rate_factor(number / settings.front_end_steps, 0.1))
        return float(loss.detach()), float((logits.detach().argmax(-1) == targets).float().mean())

    def _descend(self, optimiser: torch.optim.Optimizer, loss: Tensor, rate: float) -> None:
        if not torch.isfinite(loss):
            raise RecipeError(f"the loss is {loss.item()} at step {self.position.step}; lower training.learning_rate")
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        optimiser.step()

    @torch.no_grad()
    def validate(self, source: WindowSource) -> tuple[float, float]:
        """Return the accuracy on masked and on other frames of clean held-out windows, always the same ones."""
        self.model.eval()
        hits = torch.zeros(2)
        count = torch.zeros(2)
        for number in range(_VALIDATION_BATCHES):
            rng = np.random.default_rng([self.seed, 7, number])
            waves, targets, mask = self._tensors(draw_batch(source, None, self.batches, self.settings, rng))
            right = self._logits(waves, mask).argmax(-1) == targets
            for place, chosen in enumerate((mask, ~mask)):
                hits[place] += right[chosen].sum().cpu()
                count[place] += chosen.sum().cpu()
        self.model.train()
        masked, visible = (hits / count).tolist()
        return masked, visible


def train_front_end(trainer: Trainer, source: WindowSource, log: Callable[[str], None]) -> None:
    """Train the CNN alone first: such a step costs a fifth, and a post-norm encoder learns nothing before it anyway."""
    started = time.monotonic()
    optimiser = make_optimiser(trainer.model, trainer.settings)
    steps = trainer.settings.front_end_steps
    results = [(0.0, 0.0)]
    for number in range(steps):
        results.append(trainer.front_end_step(optimiser, source, number))
        if (number + 1) % _LOG_EVERY == 0:
            log("front end {} loss {:.4f} accuracy {:.4f}".format(number + 1, *np.mean(results[-_LOG_EVERY:], axis=0)))
    trainer.position = Position(0, (time.monotonic() - started) / 60)


def run_iteration(
    trainer: Trainer,
    train: WindowSource,
    held_out: WindowSource,
    path: Path,
    log: Callable[[str], None],
) -> IterationResult:
    """Train to the end of the iteration's schedule, from the checkpoint at `path` if there is one."""
    iteration, settings = trainer.iteration, trainer.settings
    if path.exists():
        trainer.position = checkpoint.load(path, trainer.model, trainer.optimiser)
        log(f"resumed at step {trainer.position.step}, {trainer.position.minutes:.1f} min")
    elif not iteration.target_layer and settings.front_end_steps:
        train_front_end(trainer, train, log)
    trainer.model.train()
    saved = trainer.position.minutes
    recent: list[tuple[float, float]] = []
    clock = time.monotonic() - 60 * trainer.position.minutes
    while (
        done := progress(trainer.position.step, iteration.steps, trainer.position.minutes, iteration.max_minutes)
    ) < 1:
        recent.append(trainer.step(train, done))
        trainer.position = Position(trainer.position.step + 1, (time.monotonic() - clock) / 60)
        step, minutes = trainer.position.step, trainer.position.minutes
        if step % _LOG_EVERY == 0:
            loss, hits = np.mean(recent[-_LOG_EVERY:], axis=0)
            log(f"step {step} done {done:.3f} minutes {minutes:.1f} loss {loss:.4f} masked_accuracy {hits:.4f}")
        if minutes - saved > settings.checkpoint_minutes:
            saved = minutes
            checkpoint.save(path, trainer.model, trainer.optimiser, trainer.position)
            log("held out: masked {:.4f} unmasked {:.4f}".format(*trainer.validate(held_out)))
    checkpoint.save(path, trainer.model, trainer.optimiser, trainer.position)
    return _result(trainer, recent, held_out)


def _result(trainer: Trainer, recent: list[tuple[float, float]], held_out: WindowSource) -> IterationResult:
    masked, visible = trainer.validate(held_out)
    loss, accuracy = np.mean(recent[-200:], axis=0) if recent else (float("nan"), float("nan"))
    step, minutes = trainer.position.step, trainer.position.minutes
    return IterationResult(
        steps=step,
        minutes=round(minutes, 1),
        seconds_per_step=round(60 * minutes / max(1, step), 3),
        classes=trainer.model.head.out_features,
        loss=round(float(loss), 4),
        masked_accuracy=round(float(accuracy), 4),
        held_out_masked_accuracy=round(masked, 4),
        held_out_unmasked_accuracy=round(visible, 4),
    )
