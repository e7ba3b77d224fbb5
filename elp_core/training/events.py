"""What training reports while it runs, and its result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from elp_core.types import Seconds


class Observer(Protocol):
    """Is notified of training steps and epochs. It must return quickly; an error that it raises ends the training.

    Of several trainings in one pass, an ElpError ends the observed one only.
    """

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        """Handle the end of optimizer step `step` (from 1) of `total`, which are fewer if the run stops early.

        `loss` is that of the step's batch, `rates` are the learning rates of head, layer and encoder.
        """

    def on_epoch(self, epoch: int, loss: float, value: float) -> None:
        """Handle the end of an epoch (from 1): its mean training loss and the metric on the validation clips."""


class Silent:
    """An observer that does nothing."""

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        """Do nothing."""

    def on_epoch(self, epoch: int, loss: float, value: float) -> None:
        """Do nothing."""


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
    """The result of a training. The model holds the state of `best_epoch`."""

    steps: int
    epochs: int
    best_epoch: int
    best_value: float
    seconds: Seconds
    history: tuple[EpochRecord, ...]
    excluded: tuple[str, ...]
    """Ids of training clips that were left out: they have fewer frames than their target needs."""
    before: float | None = None
    """The metric on the validation clips before the first step; None in a training too short for it to be cheap."""
