"""The Prefect flow of `elp tune`: each training is a task run, and a run in MLflow below that of the study."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.orchestration.flows import known_ends, open_in_run
from pipelines.orchestration.gpu_turn import take_gpu
from pipelines.orchestration.progress_artifact import published_progress
from pipelines.orchestration.run_outcome import RunOutcome, publish_outcome
from pipelines.orchestration.tasks import RETRY
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot
from pipelines.tuning.child_runs import StudyRuns
from pipelines.tuning.trial_store import Ended
from pipelines.tuning.tune_request import TrialCall, TuneHooks, TuneRequest
from pipelines.tuning.tuning_result import TuningResult
from pipelines.tuning.tuning_words import tuning_findings


@flow(name="tune", flow_run_name="tune {slot}", persist_result=False)
@known_ends
def tune(
    workspace: str,
    slot: str,
    version: str = "latest",
    minutes: float = 60.0,
    trials: int = 0,
    parameters: float = 0.25,
    seeds: int = 2,
    jobs: int = 0,
    revision: str = "",
    release: str = "",
) -> State[Any]:
    """Search for a smaller or a better configuration of a slot's adapter, and confirm it on new seeds.

    Run again after it was stopped anywhere, it continues the study with what is left of the minutes.

    Args:
        workspace: Git address of the workspace, or its folder.
        slot: SITE/TASK.
        version: Dataset version: `latest`, `v3`, or its tag.
        minutes: Time for search and confirmation.
        trials: Trials of the search instead of minutes; 0 for the minutes.
        parameters: Most trainable parameters, as a share of the present ones.
        seeds: New seeds of the confirmation.
        jobs: Trainings at once; 0 means `servers.workers`.
        revision: Commit at the Git address whose settings are used; empty means the newest one.
        release: Release that the worker must have; empty allows any.
    """
    opened, parsed = open_in_run(workspace, revision, release), Slot.parse(slot)
    request = TuneRequest(version, minutes, trials, parameters, seeds, jobs or max(1, opened.settings.servers.workers))
    take_gpu()
    found = search_and_confirm(opened, parsed, request)
    decision = tuning_findings(found)[0]
    publish_outcome("tune", parsed, RunOutcome(tuning=plain(found)), f"{slot}: {decision}")
    return Completed(message=f"{slot}: {decision}")


@task(name="tune", task_run_name="tune {slot}", **RETRY)
def search_and_confirm(workspace: Workspace, slot: Slot, request: TuneRequest) -> TuningResult:
    """Continue the study of a slot, or begin it, and return what it found."""
    from pipelines.registry.client.connection import connect
    from pipelines.tuning.tune_slot import tune_slot

    log = get_run_logger().info
    runs = StudyRuns(connect(mlflow_uri(workspace)), slot, flow_run=str(flow_run.get_id() or ""))
    if done := runs.finished():
        log("another run has finished this study")
        return done
    with published_progress("tuning", "trials" if request.trials else "s") as report:
        hooks = TuneHooks(log, report or (lambda done, total, note: None), runs.open, lambda call: _run(runs, call))
        found, folder = tune_slot(workspace, slot, request, hooks)
    runs.close(found, folder)
    return found


def _run(runs: StudyRuns, call: TrialCall) -> Ended:
    """Run a training as a task; one whose result is known already is none."""
    if call.kept:
        return runs.record(call, call.train)
    ended: Ended = run_training(call.name, runs, call)
    return ended


# no retries: a training that fails with the same inputs fails again, and a server that is gone ends the study's task
@task(name="train for tuning", task_run_name="{name}", retries=0, cache_policy=NO_CACHE, persist_result=False)
def run_training(name: str, runs: StudyRuns, call: TrialCall) -> Ended:
    """Run one training of a study, and record it in MLflow."""
    return runs.record(call, call.train)
