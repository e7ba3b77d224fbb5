"""What `elp tune` is asked for, and what happens around its trainings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.errors import UsageError
from pipelines.progress_text import Report
from pipelines.tuning.search_space import Candidate
from pipelines.tuning.study_journal import Sampler
from pipelines.tuning.trial_store import Ended

Log = Callable[[str], None]


@dataclass(frozen=True)
class TuneRequest:
    """How to tune a slot."""

    version: str = "latest"
    minutes: float = 60.0
    """Time for search and confirmation."""
    trials: int = 0
    """Trials of the search instead of minutes; 0 for the minutes."""
    parameters: float = 0.25
    """Largest number of trainable parameters, as a share of the present configuration's."""
    seeds: int = 2
    """New seeds of the confirmation."""
    jobs: int = 1
    """Trainings at once."""
    sampler: Sampler = "tpe"

    def __post_init__(self) -> None:
        faults = [
            f"{name} is {value:g}, expected {expected}"
            for name, value, fine, expected in (
                ("minutes", self.minutes, 0 < self.minutes < math.inf, "more than 0"),
                ("trials", self.trials, self.trials >= 0, "0 or more"),
                ("parameters", self.parameters, 0 < self.parameters < math.inf, "a share of more than 0"),
                ("seeds", self.seeds, self.seeds >= 1, "1 or more"),
                ("jobs", self.jobs, self.jobs >= 1, "1 or more"),
            )
            if not fine
        ]
        if faults:
            raise UsageError("; ".join(faults))


@dataclass(frozen=True)
class TrialCall:
    """One training that is about to run."""

    name: str
    """What it is, for people."""
    candidate: Candidate
    key: str
    """Digest of its inputs."""
    epochs: int
    seed: int
    kept: bool
    """Whether its result is known already."""
    train: Callable[[], Ended]


@dataclass(frozen=True)
class TuneHooks:
    """What happens around the trainings."""

    log: Log = print
    report: Report = lambda done, total, note: None
    opened: Callable[[str, str], None] = lambda study, tag: None
    """Is called with the key of the study and the dataset version, before the first training."""
    run: Callable[[TrialCall], Ended] = lambda call: call.train()
    """Runs a training, for example as a task of Prefect."""
