"""What training tells while it goes on, and what it ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from elp_core.types import Seconds


class Observer(Protocol):
    """Hears of training. It must be quick, and an error it raises ends the training."""

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        """After optimizer step `step` of about `total`; `rates` are the learning rates of head, layer and encoder."""

    def on_epoch(self, epoch: int, loss: float, value: float) -> None:
        """After epoch `epoch` (from 1): its mean training loss and the task's metric on the validation clips."""


class Silent:
    """An observer that keeps nothing."""

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        """Nothing."""

    def on_epoch(self, epoch: int, loss: float, value: float) -> None:
        """Nothing."""


@dataclass(frozen=True)
class EpochRecord:
    """One epoch, counted from 1."""

    epoch: int
    loss: float
    """Mean training loss over the epoch's steps."""
    value: float
    """The task's metric on the validation clips."""
    seconds: Seconds
    """Since training began, interruptions not counted."""


@dataclass(frozen=True)
class TrainResult:
    """How a training ended. The model holds the state of `best_epoch`."""

    steps: int
    epochs: int
    best_epoch: int
    best_value: float
    seconds: Seconds
    history: tuple[EpochRecord, ...]
    excluded: tuple[str, ...]
    """Ids of training clips that were left out: they have fewer frames than their target needs."""
