"""What the demo has done so far, kept in its workspace so that a second run changes nothing, and its table."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from elp_core.types import Seconds
from pipelines.number_text import metric_title

HEADERS = (
    "slot",
    "delivery",
    "metric",
    "before",
    "candidate",
    "champion",
    "verdict",
    "audio min",
    "trainable",
    "bundle",
    "trained in",
)


@dataclass(frozen=True)
class Row:
    """One delivery through the whole job."""

    slot: str
    delivery: str
    metric: str
    before: float
    """The metric of the untrained adapter on the golden set."""
    candidate: float
    champion: float | None
    """What it was compared with; None where the slot had no champion yet."""
    verdict: str
    minutes: float
    """Audio in the dataset version, all splits."""
    parameters: int
    bundle_bytes: int
    train_seconds: Seconds
    version: int

    def cells(self) -> list[str]:
        """The row as `HEADERS` names its columns."""
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
    """The rows of what is done; runs side by side may add to it."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()

    def find(self, slot: str, delivery: str) -> Row | None:
        """The row of a delivery that went through, in this run or an earlier one."""
        return next((row for row in read_rows(self._path) if (row.slot, row.delivery) == (slot, delivery)), None)

    def add(self, row: Row) -> None:
        """Keep one more row."""
        with self._lock:
            write_rows(self._path, [*read_rows(self._path), row])


def read_rows(path: Path) -> list[Row]:
    """Rows of an earlier run; none where there was none."""
    if not path.is_file():
        return []
    return [Row(**values) for values in json.loads(path.read_text(encoding="utf-8"))]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Keep the rows, whole or not at all."""
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    os.replace(scratch, path)
