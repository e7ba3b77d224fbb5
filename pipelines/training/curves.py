"""Training curves, sent to MLflow while training goes on, at a cost that training does not feel."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.errors import RegistryError, ServiceError
from pipelines.registry.client.runs import log_points, logged_steps

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

SEND_SECONDS = 5.0
RETRY_SECONDS = 60.0
"""Training goes on while the server is away; this long between two tries."""
_RATES_EVERY = 10
LOSS, VALIDATION = "epoch.loss", "epoch.validation"


def log_history(client: MlflowClient, run_id: str, history: Sequence[Mapping[str, float]]) -> None:
    """Log the epochs that the run has no points of: those that could not be sent while it went on.

    Args:
        client: Connection to the MLflow server.
        run_id: The training run.
        history: One entry an epoch with ``epoch``, ``loss`` and ``value``.
    """
    from mlflow.entities import Metric

    known, now = logged_steps(client, run_id, VALIDATION), int(time.time() * 1000)
    lost = [entry for entry in history if int(entry["epoch"]) not in known]
    points = [
        Metric(name, float(entry[key]), now, int(entry["epoch"]))
        for entry in lost
        for name, key in ((LOSS, "loss"), (VALIDATION, "value"))
    ]
    log_points(client, run_id, points)


class Curves:
    """An observer of training that buffers points and sends them now and then.

    A server that goes away does not stop the training: the points wait, and `finish` sends what is left.
    """

    def __init__(self, client: MlflowClient, run_id: str, log: Callable[[str], None]) -> None:
        self._client = client
        self._run_id = run_id
        self._log = log
        self._points: list[Metric] = []
        self._at = ""
        self._next = time.monotonic() + SEND_SECONDS
        self._away = False

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        """Take one optimizer step's loss, and now and then the learning rates."""
        self._at = f"step {step} of {total}"
        self._add("train.loss", loss, step)
        if step % _RATES_EVERY == 0:
            for group, rate in rates.items():
                self._add(f"rate.{group}", rate, step)
        if time.monotonic() >= self._next:
            self._send()

    def on_epoch(self, epoch: int, loss: float, value: float) -> None:
        """Take one epoch's mean loss and the value of the metric on the validation split, and tell of them."""
        self._log(f"epoch {epoch}, {self._at}: loss {loss:.3f}, validation {value:.2%}")
        self._add(LOSS, loss, epoch)
        self._add(VALIDATION, value, epoch)
        if time.monotonic() >= self._next:
            self._send()

    def finish(self) -> None:
        """Send what is left.

        Raises:
            ServiceError: where the server is still away.
        """
        log_points(self._client, self._run_id, self._points)
        self._points = []

    def _send(self) -> None:
        try:
            self.finish()
        except (ServiceError, RegistryError) as error:
            if not self._away:
                self._log(f"training goes on without its curves for now: {error}")
            self._away, self._next = True, time.monotonic() + RETRY_SECONDS
        else:
            self._away, self._next = False, time.monotonic() + SEND_SECONDS

    def _add(self, name: str, value: float, step: int) -> None:
        from mlflow.entities import Metric

        self._points.append(Metric(name, float(value), int(time.time() * 1000), step))
