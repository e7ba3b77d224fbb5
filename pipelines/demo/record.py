"""The record of what the demo has done, kept in its workspace so that a second run repeats nothing."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from elp_core.files import write_whole
from elp_core.types import Seconds
from pipelines.number_text import metric_title

HEADERS = (
    "slot", "delivery", "metric", "before", "candidate", "champion", "verdict", "audio min", "trainable", "bundle",
    "trained in",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What the whole job did with one delivery."""

    slot: str
    delivery: str
    metric: str
    before: float
    """The metric of the untrained adapter on the golden set."""
    candidate: float
    champion: float | None
    """The metric of the champion; None if the slot had none yet."""
    verdict: str
    minutes: float
    """Audio in the dataset version, all splits."""
    parameters: int
    bundle_bytes: int
    train_seconds: Seconds
    version: int

    def cells(self) -> list[str]:
        """Return the cells in the order of `HEADERS`."""
        return [
            self.slot,
            self.delivery,
            metric_title(self.metric),
            f"{self.before:.1%}",
            f"{self.candidate:.1%}",
            "none yet" if self.champion is None else f"{self.champion:.1%}",
            self.verdict,
            f"{self.minutes:.1f}",
            f"{self.parameters / 1e6:.2f} M",
            f"{self.bundle_bytes / 1e6:.1f} MB",
            f"{self.train_seconds:.0f} s",
        ]


class Journal:
    """The rows of what is done; runs at the same time can add to it."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()

    def find(self, slot: str, delivery: str) -> Row | None:
        """Return the row of a delivery that is done, in this run or an earlier one."""
        return next((row for row in read_rows(self._path) if (row.slot, row.delivery) == (slot, delivery)), None)

    def add(self, row: Row) -> None:
        """Add a row."""
        with self._lock:
            write_rows(self._path, [*read_rows(self._path), row])


def read_rows(path: Path) -> list[Row]:
    """Return the rows of earlier runs; none if there was no run."""
    if not path.is_file():
        return []
    return [Row(**values) for values in json.loads(path.read_text(encoding="utf-8"))]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows, whole or not at all."""
    write_whole(path, json.dumps([dataclasses.asdict(row) for row in rows], indent=2) + "\n")
