"""What a study of `elp tune` found, as a record and in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.number_text import count, duration, metric_title, percent, points
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


def tuning_findings(found: TuningResult) -> list[str]:
    """Return what the study found, in sentences: the decision, the confirmation, the search, what mattered."""
    metric, searched = metric_title(found.metric), found.searched
    sentences = [_decision(found)]
    sentences += [_confirmed(found, one, metric) for one in found.finalists]
    sentences += [
        f"{one.title} was not confirmed, because a training of its confirmation failed: {one.reason}. Run the command "
        "again to train it again."
        for one in found.unconfirmed
    ]
    pruned, failed = (sum(trial.state == state for trial in searched) for state in ("pruned", "failed"))
    sentences.append(
        f"{count(len(searched), 'configuration')} tried in {duration(found.seconds)}: {pruned} ended early, being "
        f"worse at their rung, {failed} failed. Trials were trained for {found.trial_epochs} of "
        f"{found.epochs} epochs; the confirmation for all of them, with the seeds {_listed(found.seeds)}."
    )
    alone = next((trial for trial in found.trials if trial.role == "head only"), None)
    if alone and alone.value is not None and found.present.value is not None:
        sentences.append(
            f"The head alone, without adapter parts, reaches {metric} {percent(alone.value)} as a trial; the present "
            f"configuration reaches {percent(found.present.value)}."
        )
    sentences.append(found.note[0].upper() + found.note[1:] + ".")
    if found.importances:
        named = [f"{name} ({share:.0%})" for name, share in list(found.importances.items())[:3]]
        sentences.append(f"What made the most difference between good and other trials: {_listed(named)}.")
    return sentences


def _decision(found: TuningResult) -> str:
    present = found.present
    if found.winner is None:
        return (
            f"Keep the present configuration ({present.title}, {present.parameters:,} trainable parameters): no other "
            "one was confirmed."
        )
    winner = found.finalists[found.winner]
    share = winner.tried.parameters / present.parameters
    relation = "better than" if winner.against_present.relation == "better" else "no worse than"
    return (
        f"Use {winner.tried.title}: {relation} the present configuration ({present.title}) with {share:.0%} of its "
        f"trainable parameters ({winner.tried.parameters:,} instead of {present.parameters:,})."
    )


def _confirmed(found: TuningResult, one: Finalist, metric: str) -> str:
    against = one.against_present
    interval = "no interval from one speaker"
    if against.lower is not None and against.upper is not None:
        interval = f"{points(against.lower)} to {points(against.upper)}"
    alone = "" if one.head_only is None else f" Its head alone reaches {percent(one.head_only)} as a trial."
    return (
        f"Confirmation of {one.tried.title}: {metric} {percent(against.value)}, the present configuration "
        f"{percent(against.present)}, difference {points(against.delta)} ({interval}; margin {points(found.margin)}; "
        f"{count(len(against.by_seed), 'seed')}, {count(against.clips, 'clip')} of {against.blocks} {against.unit}): "
        f"{against.relation}.{alone}"
    )


def _listed(values: object) -> str:
    assert isinstance(values, (list, tuple))
    return ", ".join(map(str, values))
