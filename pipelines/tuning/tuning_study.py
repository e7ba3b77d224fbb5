"""The search of `elp tune`, with an Optuna study that several threads and processes work on.

One objective, the error on the validation split; the number of trainable parameters and the speed are constraints. A
configuration with too many parameters is not trained.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from elp_core.errors import ConfigError, OpsError
from pipelines.errors import UsageError
from pipelines.tuning.search_space import Candidate, SearchSpace
from pipelines.tuning.study_journal import STARTUP, Sampler, ask_trial
from pipelines.tuning.study_threads import run_together
from pipelines.tuning.time_spent import StudySession
from pipelines.tuning.trial_store import Ended, FailedTraining, Prune, PrunedTraining, Rung
from pipelines.tuning.tune_trial import TuneResult

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

_MOST_REFUSED = 500
"""Points in a row that may have too many parameters."""
_MOST_FAILED = 5
"""Trainings of a session in a row that may fail."""
CANDIDATE, PRUNED = "candidate", "pruned"
REASON, RESULT, PRESENT, PARAMETERS = "reason", "result", "present", "parameters"
"""Attributes of a trial in the study."""


@dataclass(frozen=True)
class Limits:
    """What a configuration must keep to."""

    parameters: int
    slowdown: float
    """Time of an answer, divided by that of the backbone alone."""


@dataclass(frozen=True)
class SearchPlan:
    """How a study searches."""

    space: SearchSpace
    limits: Limits
    count: Callable[[Candidate], int]
    """Returns the trainable parameters of a candidate."""
    train: Callable[[Candidate, Prune | None], Ended]
    sampler: Sampler
    seed: int
    jobs: int = 1


def enqueue_points(study: Study, plan: SearchPlan) -> None:
    """Let the study try the starting points first, made small enough for the limit, once for all sessions.

    A session that was killed here may have queued some of them only.
    """

    def fits(candidate: Candidate) -> bool:
        return plan.count(candidate) <= plan.limits.parameters

    shrunk = [point for start in plan.space.starting_points() if (point := plan.space.shrunk(start, fits))]
    # without them, random points would have to find what little fits
    alone = [point for point in plan.space.smallest_points() if fits(plan.space.candidate(point))]
    for point in shrunk or alone:
        study.enqueue_trial(point, skip_if_exists=True)


def add_present(study: Study, plan: SearchPlan, result: TuneResult, rung: Rung | None) -> None:
    """Let the study know the present configuration, if it is a point of the space; once for all sessions."""
    import optuna

    point = plan.space.present_point()
    if point is None or any(PRESENT in trial.user_attrs for trial in study.get_trials(deepcopy=False)):
        return
    study.add_trial(
        optuna.create_trial(
            params=point,
            distributions=plan.space.distributions(),
            value=result.value,
            user_attrs={PRESENT: True},
            constraints={"parameters": math.log(result.parameters / plan.limits.parameters), "slowdown": -1.0},
            intermediate_values={int(number): error for number, error in rung.blocks.items()} if rung else {},
        )
    )


def require_room(space: SearchSpace, count: Callable[[Candidate], int], present: int, limit: int) -> None:
    """Raise UsageError if no configuration of the space has at most `limit` trainable parameters."""
    least = min(count(space.candidate(point)) for point in space.smallest_points())
    if least > limit:
        raise UsageError(
            f"the smallest configuration of the search has {least:,} trainable parameters, {least / present:.1%} of "
            f"the present {present:,}, and {limit:,} are allowed; allow more with: --parameters "
            f"{math.ceil(100 * least / present) / 100:g}"
        )


def search(study: Study, plan: SearchPlan, session: StudySession, wanted: Callable[[int], bool]) -> None:
    """Try configurations in `plan.jobs` threads while `wanted`, called with the number of tried ones, allows another.

    Raises OpsError if the space has no configuration within the limits, or if trainings fail one after the other.
    """
    claim = threading.Lock()
    # started in this process, of the number of those that `wanted` allows
    running = 0
    failed = 0

    def work() -> None:
        nonlocal running, failed
        while not session.stopped.is_set():
            with claim:
                if not wanted(len(tried(study)) + running):
                    return
                if (asked := _ask(study, plan, session)) is None:
                    return
                trial, candidate = asked
                running += 1
            try:
                ended = _try(study, trial, candidate, plan)
            finally:
                with claim:
                    running -= 1
            with claim:
                failed = failed + 1 if isinstance(ended, FailedTraining) else 0
            if isinstance(ended, FailedTraining) and failed >= _MOST_FAILED:
                raise OpsError(
                    f"{failed} trainings in a row failed, the last one with: {ended.reason}\nremove the cause, then "
                    "run the command again: it continues the study"
                )

    run_together([work] * plan.jobs, plan.jobs, session)


def tried(study: Study) -> list[FrozenTrial]:
    """Return the trials of the search that have ended with a value, pruned ones too, in their order."""
    from optuna.trial import TrialState

    found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in found if PRESENT not in trial.user_attrs]


def failed_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials whose training failed."""
    from optuna.trial import TrialState

    found = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return [trial for trial in found if REASON in trial.user_attrs]


def is_feasible(trial: FrozenTrial) -> bool:
    """Return whether a trial keeps to all limits."""
    return all(value <= 0 for value in trial.constraints.values())


def importances(study: Study) -> dict[str, float]:
    """Return the share of each searched value in the differences between trials, largest first; empty if too few.

    By PED-ANOVA (Watanabe et al. 2023): it compares the best quarter of the trials with all of them.
    """
    import optuna

    if len(tried(study)) < 2 * STARTUP:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _ask(study: Study, plan: SearchPlan, session: StudySession) -> tuple[Trial, Candidate] | None:
    """Return the next trial within the limit of parameters; those beyond it cost nothing. None if no more is found."""
    from optuna.trial import TrialState

    for _ in range(_MOST_REFUSED):
        trial = ask_trial(study, plan.space.distributions(), session)
        candidate = plan.space.candidate(trial.params)
        try:
            # more than the limit is a positive number, so the constraint is violated
            counted = plan.count(candidate)
            trial.set_user_attr(PARAMETERS, counted)
            excess = math.log(counted / plan.limits.parameters)
        except ConfigError as error:
            # the options of a task may refuse a combination
            trial.set_user_attr(REASON, str(error))
            excess = math.inf
        if excess <= 0:
            trial.set_constraint("parameters", excess)
            trial.set_user_attr(CANDIDATE, candidate.settings())
            return trial, candidate
        study.tell(trial, state=TrialState.FAIL)
        session.go_on()
    if tried(study):
        return None
    raise OpsError(
        f"no configuration with at most {plan.limits.parameters:,} trainable parameters was found in "
        f"{_MOST_REFUSED} points of the search space; allow more with: --parameters"
    )


def _try(study: Study, trial: Trial, candidate: Candidate, plan: SearchPlan) -> Ended:
    """Train a candidate, tell the study the result, and return it."""
    from optuna.trial import TrialState

    def is_worse(rung: Rung) -> bool:
        for number, error in rung.blocks.items():
            trial.report(error, int(number))
        return plan.sampler == "tpe" and trial.should_prune()

    ended = plan.train(candidate, is_worse)
    match ended:
        case TuneResult():
            trial.set_constraint("slowdown", ended.slowdown - plan.limits.slowdown)
            trial.set_user_attr(RESULT, {"slowdown": ended.slowdown, "seconds": ended.seconds})
            study.tell(trial, ended.value)
        case PrunedTraining(rung):
            trial.set_user_attr(PRUNED, True)
            # its value so far, as the pruner's documentation advises: the state PRUNED would give the sampler the
            # error of the last group of clips
            study.tell(trial, rung.value)
        case FailedTraining(reason):
            trial.set_user_attr(REASON, reason)
            study.tell(trial, state=TrialState.FAIL)
    return ended


def all_candidates(study: Study, space: SearchSpace) -> Iterator[tuple[FrozenTrial, Candidate]]:
    """Yield the tried and the failed trials with their configurations, in their order."""
    for trial in sorted([*tried(study), *failed_trials(study)], key=lambda trial: trial.number):
        if trial.params:
            yield trial, space.candidate(trial.params)


def point_words(values: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return what people call the searched values, with their shares, largest first."""
    from pipelines.tuning.search_space import WORDS

    return sorted(((WORDS[name], share) for name, share in values.items()), key=lambda one: -one[1])
