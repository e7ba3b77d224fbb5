"""The picture of a training: its loss and its validation metric, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from elp_core.metrics.scores import title
from pipelines.html_report import figure, png


def draw_curves(history: Sequence[Mapping[str, Any]], metric: str, path: Path) -> None:
    """Draw mean loss and validation metric over epochs to a PNG.

    Args:
        history: One entry an epoch with ``epoch``, ``loss`` and ``value``.
        metric: Name of the metric.
        path: File to write.
    """
    epochs = [entry["epoch"] for entry in history]
    drawn, (left, right) = figure(7.5, 3.2, columns=2)
    for axes, name, heading in ((left, "loss", "mean training loss"), (right, "value", f"{title(metric)}, validation")):
        axes.plot(epochs, [entry[name] for entry in history], marker="o", markersize=3)
        axes.set_title(heading, fontsize=10)
        axes.set_xlabel("epoch")
        axes.set_ylim(bottom=min(0.0, *[entry[name] for entry in history], 0.0))
        axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(drawn))
