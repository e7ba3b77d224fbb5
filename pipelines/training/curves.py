"""Training curves: sent to MLflow during training without delaying it, and drawn for the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import RegistryError, ServiceError
from pipelines.html_report import figure, png
from pipelines.number_text import metric_title, percent
from pipelines.registry.client.runs import log_points, logged_steps

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from elp_core.training import EpochRecord

SEND_SECONDS = 5.0
RETRY_SECONDS = 60.0
"""Time between two attempts to reach a server that is gone; training continues meanwhile."""
_RATES_EVERY = 10
LOSS, VALIDATION = "epoch.loss", "epoch.validation"


def log_history(client: MlflowClient, run_id: str, history: Sequence[EpochRecord]) -> None:
    """Log the epochs that the MLflow run has no points of: those that could not be sent during training."""
    from mlflow.entities import Metric

    known, now = logged_steps(client, run_id, VALIDATION), int(time.time() * 1000)
    points = [
        Metric(name, value, now, entry.epoch)
        for entry in history
        if entry.epoch not in known
        for name, value in ((LOSS, entry.loss), (VALIDATION, entry.value))
    ]
    log_points(client, run_id, points)


def draw_curves(history: Sequence[EpochRecord], metric: str, path: Path) -> None:
    """Draw mean loss and validation metric (called `metric`) over the epochs, and write the PNG to `path`."""
    epochs = [entry.epoch for entry in history]
    drawn, (left, right) = figure(7.5, 3.2, columns=2)
    for axes, values, heading in (
        (left, [entry.loss for entry in history], "mean training loss"),
        (right, [entry.value for entry in history], f"{metric_title(metric)}, validation"),
    ):
        axes.plot(epochs, values, marker="o", markersize=3)
        axes.set_title(heading, fontsize=10)
        axes.set_xlabel("epoch")
        axes.set_ylim(bottom=min([*values, 0.0]))
        axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(drawn))


class Curves:
    """An observer of training that collects points and sends them every few seconds.

    A server that goes away does not stop the training: the points wait, and `finish` sends the rest.
    """

    def __init__(self, client: MlflowClient, run_id: str, log: Callable[[str], None]) -> None:
        self._client = client
        self._run_id = run_id
        self._log = log
        self._points: list[Metric] = []
        self._progress = ""
        self.metric = "metric"
        """Name of the metric in the log; a training knows it when its model is made."""
        self._next = time.monotonic() + SEND_SECONDS
        self._away = False

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        """Add one optimizer step's loss, and every few steps the learning rates."""
        self._progress = f"step {step} of {total}"
        self._add("train.loss", loss, step)
        if step % _RATES_EVERY == 0:
            for group, rate in rates.items():
                self._add(f"rate.{group}", rate, step)
        self._send_if_due()

    def on_epoch(self, epoch: int, loss: float, value: float) -> None:
        """Add and log one epoch's mean loss and the value of the metric on the validation split."""
        self._log(f"epoch {epoch}, {self._progress}: loss {loss:.3f}, {self.metric} {percent(value)} on validation")
        self._add(LOSS, loss, epoch)
        self._add(VALIDATION, value, epoch)
        self._send_if_due()

    def finish(self) -> None:
        """Send the points that are left; raise ServiceError if the server is still away."""
        log_points(self._client, self._run_id, self._points)
        # only after the call: MLflow keeps equal points once, so they may be sent twice
        self._points = []

    def _send_if_due(self) -> None:
        if time.monotonic() < self._next:
            return
        try:
            self.finish()
        except (ServiceError, RegistryError) as error:
            if not self._away:
                self._log(f"training continues without its curves for now: {error}")
            self._away, self._next = True, time.monotonic() + RETRY_SECONDS
        else:
            self._away, self._next = False, time.monotonic() + SEND_SECONDS

    def _add(self, name: str, value: float, step: int) -> None:
        from mlflow.entities import Metric

        self._points.append(Metric(name, float(value), int(time.time() * 1000), step))
