"""What the supervision of `elp up` counts about the operation: written to a file, shown by the server as metrics.

Counts that only grow begin at 0 when the file is made, and go on from it when the supervision is started again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from elp_core.config import from_dict
from elp_core.errors import ConfigError
from elp_core.files import write_whole
from elp_core.types import Seconds

FIGURES_VARIABLE = "ELP_OPERATION_FIGURES"
"""Environment variable of the MLflow server: the file with the figures."""
FIGURES_FILE = "operation-figures.json"
"""Its name in the state folder of a workspace."""
BOUNDS: tuple[Seconds, ...] = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
"""Upper bounds of the buckets of durations."""

Counts = Mapping[str, int]


@dataclass(frozen=True)
class DurationHistogram:
    """How long the runs of one step took."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    """Of each bucket alone; the last one has what took longer."""
    total: Seconds = 0.0

    def with_one(self, seconds: Seconds) -> DurationHistogram:
        """Return the histogram with one more duration."""
        place = next((n for n, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
        counts = tuple(count + (n == place) for n, count in enumerate(self.counts))
        return DurationHistogram(counts, self.total + seconds)


@dataclass(frozen=True)
class OperationFigures:
    """The figures of one workspace. Times are seconds since the epoch."""

    at: float = 0.0
    """When they were collected."""
    prefect: bool = False
    """Whether Prefect answered then; without an answer, what it knows is that of the last one."""
    runs: Counts = field(default_factory=dict)
    """State -> flow runs that are due and have not ended."""
    ended: Mapping[str, Counts] = field(default_factory=dict)
    """Flow -> final state -> runs that have ended since the file was made."""
    waiting: Counts = field(default_factory=dict)
    """Pool -> runs that are due and that no worker has begun."""
    oldest: Mapping[str, float] = field(default_factory=dict)
    """Pool -> when the one of them that waits longest was due, by the clock that `at` is by."""
    workers: Counts = field(default_factory=dict)
    """Pool -> workers that report."""
    last_success: Mapping[str, float] = field(default_factory=dict)
    """Slot -> end of its last completed ingest or retrain."""
    overdue: int = 0
    """Slots whose due run has not begun for half an hour."""
    inboxes: Mapping[str, Counts] = field(default_factory=dict)
    """Slot -> state -> deliveries."""
    inbox_faults: int = 0
    """Inboxes that could not be read."""
    disk_free: int = 0
    """Bytes on the disk of the workspace."""
    disk_size: int = 0
    up: Mapping[str, bool] = field(default_factory=dict)
    """Process of `elp up` -> whether it runs."""
    restarts: Counts = field(default_factory=dict)
    """Process -> how often it has ended since the file was made."""
    last_end: Mapping[str, float] = field(default_factory=dict)
    """Process -> the end that was counted last."""
    durations: Mapping[str, DurationHistogram] = field(default_factory=dict)
    """Step (training, intake, gate) -> durations of those that completed."""
    read_until: float = 0.0
    """Runs and steps that ended before were counted."""
    read_ids: tuple[str, ...] = ()
    """Those that ended about then and were counted."""


def read_figures(path: Path) -> OperationFigures | None:
    """Return the figures of a file; None if it is missing or damaged: it is written again from the beginning."""
    try:
        return from_dict(OperationFigures, json.loads(path.read_text(encoding="utf-8")), "figures")
    except (OSError, ValueError, TypeError, AttributeError, ConfigError):
        return None


def write_figures(path: Path, figures: OperationFigures) -> None:
    """Write the figures, whole or not at all."""
    write_whole(path, json.dumps(asdict(figures)) + "\n")
