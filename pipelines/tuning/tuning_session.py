"""One session of a study: its trainings, its time, and its progress."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from elp_core.errors import OpsError
from elp_core.types import Seconds
from pipelines.errors import UsageError
from pipelines.number_text import metric_title, percent
from pipelines.tuning.candidate_size import CandidateSizes
from pipelines.tuning.search_space import Candidate, present_candidate
from pipelines.tuning.study_threads import run_together
from pipelines.tuning.time_spent import StudySession, seconds_spent
from pipelines.tuning.trial_store import Ended, FailedTraining, Prune, PrunedTraining, TrialStore
from pipelines.tuning.tune_request import TrialCall, TuneHooks, TuneRequest
from pipelines.tuning.tune_trial import TuneResult, TuneSpec

TRIAL_SHARE = 3
"""A trial has the epochs of the slot divided by this, and its rung is at its own epochs divided by this."""
MOST_CONFIRMING = 0.6
"""Largest share of the minutes that is kept for the confirmation."""
_FINALIST_SHARE = 0.6
"""Time of a finalist's training, as a part of that of the present configuration: an assumption."""


@dataclass(frozen=True)
class TuningSession:
    """The trainings of one session."""

    request: TuneRequest
    hooks: TuneHooks
    store: TrialStore
    sizes: CandidateSizes
    session: StudySession
    folder: Path
    """That of the study."""

    @property
    def epochs(self) -> int:
        """Return the epochs of the slot's trainings."""
        return self.sizes.settings.train.epochs

    @property
    def trial_epochs(self) -> int:
        """Return the epochs of a trial."""
        return shortened(self.epochs)

    @property
    def seed(self) -> int:
        """Return the seed of all trials of the search."""
        return self.sizes.settings.train.seed

    @property
    def present(self) -> Candidate:
        """Return the slot's own configuration."""
        return present_candidate(self.sizes.settings)

    def trial_spec(self, candidate: Candidate) -> TuneSpec:
        """Return the inputs of a trial of the search."""
        rung = shortened(self.trial_epochs) if self.trial_epochs >= TRIAL_SHARE else 0
        return self.store.spec(candidate, epochs=self.trial_epochs, seed=self.seed, rung=rung)

    def train(self, name: str, candidate: Candidate, spec: TuneSpec, prune: Prune | None = None) -> Ended:
        """Return the result of a training, from an earlier one if there is one, and log it."""

        def report(done: int, total: int, note: str) -> None:
            self.session.go_on()
            self.show(f"{name}: {done:,}/{total:,} steps" + (f", {note}" if note else ""))

        def run() -> Ended:
            ended = self.store.run(spec, report, prune)
            if isinstance(ended, FailedTraining):
                # a Ctrl-C in a terminal reaches the process of the training, too
                self.session.go_on()
            return ended

        self.session.go_on()
        kept = self.store.result(spec) is not None
        train = spec.settings["train"]
        call = TrialCall(
            name=name,
            candidate=candidate,
            key=self.store.key(spec),
            epochs=train["epochs"],
            seed=train["seed"],
            kept=kept,
            train=run,
        )
        self.show(name)
        ended = self.hooks.run(call)
        self.session.note()
        self.hooks.log(f"{name}: {_outcome(ended)}" + (" (kept from before)" if kept else ""))
        return ended

    def required(self, name: str, candidate: Candidate, spec: TuneSpec) -> TuneResult:
        """Return the result of a training without which there is no search; raise OpsError if it failed."""
        ended = self.train(name, candidate, spec)
        if isinstance(ended, TuneResult):
            return ended
        reason = ended.reason if isinstance(ended, FailedTraining) else "it ended early"
        raise OpsError(f"elp tune cannot search: the training of {name} failed: {reason}")

    def show(self, note: str) -> None:
        """Report how much of the minutes is used, or a note alone if the study is limited by trials."""
        if self.request.trials:
            self.hooks.report(0, 0, note)
            return
        whole = round(60 * self.request.minutes)
        self.hooks.report(min(round(seconds_spent(self.folder)), whole), whole, note)

    def wants_trial(self, tried: int, reserve: Seconds, one: Seconds) -> bool:
        """Return whether another trial, of about `one` second, fits; `reserve` is kept for the confirmation."""
        self.session.note()
        if self.request.trials:
            return tried < self.request.trials
        return seconds_spent(self.folder) + reserve + one <= 60 * self.request.minutes

    def require_time(self, present: TuneResult, seeds: Sequence[int]) -> None:
        """Raise UsageError if the minutes leave no time for a single trial: the search would have tried nothing."""
        if self.wants_trial(0, self.confirmation_seconds(present, seeds), present.seconds):
            return
        used = seconds_spent(self.folder) + present.seconds
        # the confirmation takes at most its share of the minutes
        least = min(used + self._confirming(present, seeds), used / (1 - MOST_CONFIRMING))
        raise UsageError(
            f"no time for a trial in {self.request.minutes:g} minutes: one takes about {present.seconds:.0f} s here, "
            f"and up to {MOST_CONFIRMING:.0%} of the minutes are kept for the confirmation; give at least: --minutes "
            f"{math.ceil(least / 60)} (what was trained is kept)"
        )

    def confirmation_seconds(self, present: TuneResult, seeds: Sequence[int]) -> Seconds:
        """Return about how long the confirmation takes, at most `MOST_CONFIRMING` of the minutes."""
        return min(MOST_CONFIRMING * 60 * self.request.minutes, self._confirming(present, seeds))

    def _confirming(self, present: TuneResult, seeds: Sequence[int]) -> Seconds:
        whole = present.seconds * self.epochs / max(1, present.epochs)
        missing = sum(self.store.result(self.final_spec(self.present, seed)) is None for seed in seeds)
        return whole * (missing + 2 * _FINALIST_SHARE * len(seeds)) / self.request.jobs

    def final_spec(self, candidate: Candidate, seed: int) -> TuneSpec:
        """Return the inputs of a training of the confirmation: all epochs, a new seed."""
        return self.store.spec(candidate, epochs=self.epochs, seed=seed)

    def train_all(self, calls: Sequence[tuple[str, Candidate, TuneSpec]]) -> list[Ended]:
        """Return the results of several trainings in their order, as many at once as the request allows."""
        return run_together([partial(self.train, *call) for call in calls], self.request.jobs, self.session)


def shortened(epochs: int) -> int:
    """Return the epochs of the next shorter rung."""
    return max(1, math.ceil(epochs / TRIAL_SHARE))


def without_speed_limits(spec: TuneSpec) -> TuneSpec:
    """Return the inputs of the training that ranks the layers."""
    return replace(spec, layers_only=True, rung=0)


def _outcome(ended: Ended) -> str:
    match ended:
        case TuneResult():
            reached = f"{metric_title(ended.metric)} {percent(ended.value)}"
            return f"{reached}, {ended.parameters:,} trainable parameters, {ended.seconds:.0f} s"
        case PrunedTraining(rung):
            return f"ended at its rung with {percent(rung.value)}: worse than the best so far"
    return f"failed: {ended.reason}"
