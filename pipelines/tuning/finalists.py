"""From the trials of a study to the configurations that are confirmed, and their confirmation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from elp_core.errors import OpsError
from pipelines.tuning.confirmation import confirm
from pipelines.tuning.search_space import Candidate, SearchSpace, head_only
from pipelines.tuning.trial_store import Ended, FailedTraining, PrunedTraining
from pipelines.tuning.tune_trial import TuneResult
from pipelines.tuning.tuning_result import Finalist, Role, TriedConfiguration
from pipelines.tuning.tuning_session import TuningSession
from pipelines.tuning.tuning_study import PARAMETERS, PRUNED, REASON, RESULT, all_candidates, is_feasible

if TYPE_CHECKING:
    from optuna import Study


def fixed_trial(role: Role, candidate: Candidate, ended: Ended, parameters: int) -> TriedConfiguration:
    """Return the record of a training that is not part of the search."""
    shared: dict[str, Any] = {"title": candidate.title, "settings": candidate.settings(), "role": role}
    match ended:
        case TuneResult():
            return TriedConfiguration(
                **shared, state="finished", value=ended.value, parameters=ended.parameters, slowdown=ended.slowdown,
                seconds=ended.seconds,
            )  # fmt: skip
        case PrunedTraining(rung):
            return TriedConfiguration(
                **shared, state="pruned", value=rung.value, parameters=parameters, slowdown=0.0, seconds=0.0
            )
    return TriedConfiguration(
        **shared, state="failed", value=None, parameters=parameters, slowdown=0.0, seconds=0.0, reason=ended.reason
    )


def searched_trials(study: Study, space: SearchSpace) -> list[TriedConfiguration]:
    """Return the records of the trials of the search, in their order."""
    records = []
    for trial, candidate in all_candidates(study, space):
        result, pruned = trial.user_attrs.get(RESULT, {}), bool(trial.user_attrs.get(PRUNED))
        reason = trial.user_attrs.get(REASON, "")
        records.append(
            TriedConfiguration(
                title=candidate.title,
                settings=candidate.settings(),
                role="search",
                state="failed" if reason else "pruned" if pruned else "finished",
                value=None if reason else trial.value,
                parameters=trial.user_attrs.get(PARAMETERS, 0),
                slowdown=result.get("slowdown", 0.0),
                seconds=result.get("seconds", 0.0),
                within=is_feasible(trial),
                reason=reason,
            )
        )
    return records


def choose_finalists(trials: Sequence[TriedConfiguration], present: float, margin: float) -> list[TriedConfiguration]:
    """Return the best configuration within the limits, and the smallest that is close to the present value.

    "Close" is at most half the gate's margin above `present`, the value of the present configuration as a trial.
    """
    fit = [trial for trial in trials if trial.role == "search" and trial.state == "finished" and trial.within]
    if not fit:
        return []
    best = min(fit, key=lambda trial: (trial.value, trial.parameters))
    close = [trial for trial in fit if trial.value is not None and trial.value <= present + margin / 2]
    smallest = min(close, key=lambda trial: (trial.parameters, trial.value), default=best)
    return [best] if smallest.settings == best.settings else [best, smallest]


def confirm_finalists(
    session: TuningSession, chosen: Sequence[TriedConfiguration], seeds: Sequence[int]
) -> tuple[tuple[Finalist, ...], tuple[TriedConfiguration, ...]]:
    """Train the finalists and the present configuration on the new seeds, and compare them.

    Returns the compared ones, and those with a training that failed, with its reason. Raises OpsError if the present
    configuration cannot be trained.
    """
    if not chosen:
        return (), ()
    candidates = [_candidate(trial) for trial in chosen]
    named = [("present configuration", session.present), *((one.title, one) for one in candidates)]
    calls = [
        (f"confirmation of {name}, seed {seed}", one, session.final_spec(one, seed))
        for seed in seeds
        for name, one in named
    ]
    ended = session.train_all(calls)
    by_system = [ended[place :: len(named)] for place in range(len(named))]
    specs = [[spec for _, _, spec in calls[place :: len(named)]] for place in range(len(named))]
    failed = [one.reason for one in by_system[0] if isinstance(one, FailedTraining)]
    if failed:
        raise OpsError(f"nothing can be confirmed: the training of the present configuration failed: {failed[0]}")
    policy, closed_set = session.sizes.settings.gate, session.store.dataset.closed_set
    present = [session.store.scores(spec) for spec in specs[0]]
    finalists, unconfirmed = [], []
    for trial, candidate, results, own in zip(chosen, candidates, by_system[1:], specs[1:], strict=True):
        if reasons := [one.reason for one in results if isinstance(one, FailedTraining)]:
            unconfirmed.append(replace(trial, reason=reasons[0]))
            continue
        difference = confirm([session.store.scores(spec) for spec in own], present, policy, closed_set)
        finalists.append(Finalist(trial, difference, _head_value(session, candidate)))
    return tuple(finalists), tuple(unconfirmed)


def _candidate(trial: TriedConfiguration) -> Candidate:
    return Candidate(trial.settings["adapter"], trial.settings["train"], trial.settings.get("task", {}))


def _head_value(session: TuningSession, candidate: Candidate) -> float | None:
    """Return what the head of a finalist reaches without adapter parts, as a trial."""
    alone = head_only(candidate)
    ended = session.train(f"head of {candidate.title} alone", alone, session.trial_spec(alone))
    return ended.value if isinstance(ended, TuneResult) else None
