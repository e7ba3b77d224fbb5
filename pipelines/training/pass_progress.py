"""How far a pass of training is, over all its slots, and the validation metric as it falls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.number_text import metric_title, percent
from pipelines.progress_text import Report

if TYPE_CHECKING:
    from elp_core.training.events import Observer


@dataclass
class PassProgress:
    """Adds up the optimizer steps of the slots that are trained together, and reports them."""

    report: Report
    _steps: dict[str, tuple[int, int]] = field(default_factory=dict)
    _reached: dict[str, str] = field(default_factory=dict)

    def watch(self, slot: str, metric: str, epochs: int, observer: Observer) -> Observer:
        """Return an observer that reports a slot's training here and passes everything on to `observer`."""
        self._steps[slot] = (0, 0)
        return _Watched(self, slot, metric_title(metric), epochs, observer)

    def step(self, slot: str, step: int, total: int) -> None:
        """Note that a slot has made a step."""
        self._steps[slot] = step, total
        # a slot that has not begun has no total yet
        done, whole = (sum(counts) for counts in zip(*self._steps.values(), strict=True))
        self.report(done, whole, ", ".join(self._reached.values()))

    def epoch(self, slot: str, text: str) -> None:
        """Note the metric that a slot reached."""
        self._reached[slot] = text if len(self._steps) == 1 else f"{slot} {text}"


@dataclass(frozen=True)
class _Watched:
    """The observer of one slot."""

    progress: PassProgress
    slot: str
    metric: str
    epochs: int
    observer: Observer

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        """Pass the step on, and report it."""
        self.observer.on_step(step, total, loss, rates)
        self.progress.step(self.slot, step, total)

    def on_epoch(self, epoch: int, loss: float, value: float) -> None:
        """Pass the epoch on, and keep its metric for the next report."""
        self.observer.on_epoch(epoch, loss, value)
        self.progress.epoch(self.slot, f"{self.metric} {percent(value)} (epoch {epoch}/{self.epochs})")


@dataclass(frozen=True)
class Stoppable:
    """An observer that ends its own training when `check` raises an ElpError, after a step."""

    observer: Observer
    check: Callable[[], None]

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        """Pass the step on, and check whether the training is to continue."""
        self.observer.on_step(step, total, loss, rates)
        self.check()

    def on_epoch(self, epoch: int, loss: float, value: float) -> None:
        """Pass the epoch on."""
        self.observer.on_epoch(epoch, loss, value)
