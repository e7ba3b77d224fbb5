"""What a study of `elp tune` found, as a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.tuning.confirmation import ConfirmedDifference

RESULT_FILE = "tune.json"
"""The record in a report, and in the artifacts of the study's run."""
TrialState = Literal["finished", "pruned", "failed"]
Role = Literal["search", "present", "head only"]


@dataclass(frozen=True)
class TriedConfiguration:
    """One trial of the study."""

    title: str
    """Parts and sizes in a few words."""
    settings: Mapping[str, Any]
    """What it changes in the slot's settings."""
    role: Role
    state: TrialState
    value: float | None
    """Metric on the scoring half of the validation split; of a pruned trial, at its rung."""
    parameters: int
    """Trainable parameters, including the task's head; 0 if its settings were refused."""
    slowdown: float
    """Time of an answer, divided by that of the backbone alone; 0 if it was not measured."""
    seconds: float
    """Seconds of training."""
    within: bool = True
    """Whether it keeps to the limits of the search."""
    reason: str = ""
    """Why it failed."""


@dataclass(frozen=True)
class Finalist:
    """A configuration that was trained again on new seeds."""

    tried: TriedConfiguration
    """Its trial in the search."""
    against_present: ConfirmedDifference
    head_only: float | None = None
    """Metric of its head without adapter parts, trained as long as the trials of the search."""


@dataclass(frozen=True)
class TuningResult:
    """A study: what was tried, what was confirmed, and what to do."""

    slot: str
    dataset: str
    backbone: str
    study: str
    """The first digits of the digest of everything that determines the study."""
    metric: str
    margin: float
    """The gate's margin, within which a configuration is no worse."""
    epochs: int
    trial_epochs: int
    seeds: tuple[int, ...]
    """Seeds of the confirmation."""
    seconds: float
    """Time that the study has used."""
    parameter_limit: int
    layer_shares: tuple[float, ...]
    """Learned share of each of the encoder's layers."""
    note: str
    """How the validation split was divided."""
    trials: tuple[TriedConfiguration, ...]
    """The present configuration and the head alone first, then those of the search in their order."""
    finalists: tuple[Finalist, ...] = ()
    unconfirmed: tuple[TriedConfiguration, ...] = ()
    """Those that were chosen for the confirmation and failed in it, with the reason."""
    winner: int | None = None
    """Position in `finalists` of the configuration to use; None to keep the present one."""
    importances: Mapping[str, float] = field(default_factory=dict)
    """Share of each searched value in the differences between trials, in words."""

    @property
    def present(self) -> TriedConfiguration:
        """Return the trial of the present configuration."""
        return next(trial for trial in self.trials if trial.role == "present")

    @property
    def change(self) -> Mapping[str, Any]:
        """Return the settings of the winner; empty if the present configuration stays."""
        return {} if self.winner is None else self.finalists[self.winner].tried.settings

    @property
    def searched(self) -> tuple[TriedConfiguration, ...]:
        """Return the trials of the search."""
        return tuple(trial for trial in self.trials if trial.role == "search")

    def front(self) -> list[TriedConfiguration]:
        """Return the finished trials with fewer parameters than each trial of at most their error, smallest first."""
        finished = [trial for trial in self.trials if trial.state == "finished" and trial.value is not None]
        ordered = sorted(finished, key=lambda trial: (trial.parameters, trial.value))
        front: list[TriedConfiguration] = []
        for trial in ordered:
            if not front or (trial.value or 0.0) < (front[-1].value or 0.0):
                front.append(trial)
        return front


def choose_winner(finalists: tuple[Finalist, ...], present: TriedConfiguration) -> int | None:
    """Return the position of the finalist to use.

    One that is better by its interval comes first, the lowest metric of them; then the smallest of those that are no
    worse with fewer parameters. None means that none was confirmed.
    """
    better = [place for place, one in enumerate(finalists) if one.against_present.relation == "better"]
    if better:
        return min(better, key=lambda place: finalists[place].against_present.value)
    smaller = [
        place
        for place, one in enumerate(finalists)
        if one.against_present.relation == "no worse" and one.tried.parameters < present.parameters
    ]
    return min(smaller, key=lambda place: finalists[place].tried.parameters, default=None)
