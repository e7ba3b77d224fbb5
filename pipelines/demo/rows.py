"""What the demo did with each delivery, kept in a file so that a second run knows what is done."""

from __future__ import annotations

import dataclasses
import json
import threading
from dataclasses import dataclass
from pathlib import Path

from elp_core.files import write_whole
from elp_core.types import Seconds
from pipelines.number_text import metric_title

_adding = threading.Lock()


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

    def cells(self) -> dict[str, str]:
        """Return the texts of a row by the headers of their columns."""
        return {
            "slot": self.slot,
            "delivery": self.delivery,
            "metric": metric_title(self.metric),
            "before": f"{self.before:.1%}",
            "candidate": f"{self.candidate:.1%}",
            "champion": "none yet" if self.champion is None else f"{self.champion:.1%}",
            "verdict": self.verdict,
            "audio min": f"{self.minutes:.1f}",
            "trainable": f"{self.parameters / 1e6:.2f} M",
            "bundle": f"{self.bundle_bytes / 1e6:.1f} MB",
            "trained in": f"{self.train_seconds:.0f} s",
        }

    def line(self) -> str:
        """Return the result in one line."""
        to = "" if self.champion is None else f" (the champion has {self.champion:.1%})"
        return (
            f"{self.slot}, delivery {self.delivery}: {self.verdict}; {metric_title(self.metric)} {self.before:.1%} "
            f"untrained, {self.candidate:.1%} after {self.train_seconds:.0f} s of training{to}"
        )


def read_rows(path: Path) -> list[Row]:
    """Return the rows of what was done in this run and in earlier ones; none if there was no run."""
    return [Row(**values) for values in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []


def add_row(path: Path, row: Row) -> None:
    """Add a row to the file; the lanes can add rows at the same time."""
    with _adding:
        rows = [dataclasses.asdict(each) for each in (*read_rows(path), row)]
        write_whole(path, json.dumps(rows, indent=2) + "\n")
