"""The Prefect flows: ingest, train, gate, retrain (the three in a row) and monitor for a slot; retrain-all for all.

A flow opens the workspace once and hands it to its tasks: what a run trains and judges with is one reading of
`elp.yaml`, whatever is edited meanwhile. On another machine the workspace is a clone, named by its Git address.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from pipelines.datasets.dataset_version import DatasetVersion
from pipelines.errors import DataRefused, RunCancelled, VersioningError, WrongRelease
from pipelines.gating.gate import GateOutcome
from pipelines.local.git_address import is_git_address
from pipelines.local.run_workspace import require_release_of_run
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.number_text import count
from pipelines.orchestration import tasks
from pipelines.orchestration.gpu_turn import take_gpu
from pipelines.orchestration.joined_runs import has_joined, shared_training
from pipelines.orchestration.outage_turn import wait_for_outage
from pipelines.orchestration.prefect_api import run_name
from pipelines.orchestration.run_outcome import RunOutcome, SlotRun, final_state, final_state_of_all, publish_outcome
from pipelines.orchestration.slot_groups import GroupSteps, retrain_together, together
from pipelines.orchestration.slot_progress import wait_for_slots
from pipelines.orchestration.slot_turn import missed_state, wait_for_turn
from pipelines.prefect_names import WRONG_RELEASE
from pipelines.registry.slot import Slot

_P = ParamSpec("_P")


def known_ends(function: Callable[_P, State[Any] | None]) -> Callable[_P, State[Any] | None]:
    """Send a run that meets an outage back to its queue; end one for another release, or cancelled, by that name."""

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> State[Any] | None:
        try:
            return function(*args, **kwargs)
        except WrongRelease as error:
            return Failed(name=WRONG_RELEASE, message=str(error))
        except RunCancelled as error:
            return Cancelled(message=str(error))
        except Exception as error:
            wait_for_outage(error)
            raise

    return run


def open_in_run(workspace: str, revision: str, release: str) -> Workspace:
    """Open the workspace of a run: its folder, or its clone on this machine."""
    require_release_of_run(workspace, release)
    if is_git_address(workspace):
        # as a task, which is tried again if the Git server is gone
        return tasks.clone_workspace(workspace, revision)
    return open_workspace(Path(workspace))


def _named(flow: str) -> Callable[[], str]:
    """Return what gives a run of a flow the name of its slots."""
    return lambda: run_name(flow, [flow_run.parameters["slot"], *(flow_run.parameters.get("also") or ())])


@flow(name="ingest", flow_run_name="ingest {slot}", persist_result=False)
@known_ends
def ingest(
    workspace: str,
    slot: str,
    source: str = "",
    options: dict[str, Any] | None = None,
    revision: str = "",
    release: str = "",
) -> None:
    """Take a delivery in, or all that wait in the inbox: validate, version, push.

    Args:
        workspace: Git address of the workspace, or its folder.
        slot: SITE/TASK.
        source: Path of the delivery; empty takes in what is complete in the slot's inbox.
        options: `format`, `format_options`, `noise`, `snr`, `condition`, `channel` of the delivery.
        revision: Commit at the Git address whose settings are used; empty means the newest one.
        release: Release that the worker must have; empty allows any.
    """
    wait_for_turn(workspace, [Slot.parse(slot)])
    dataset, refused = _take_in(open_in_run(workspace, revision, release), Slot.parse(slot), source, options)
    publish_outcome("ingest", Slot.parse(slot), RunOutcome(dataset, refused=refused), f"Data of {slot}: {dataset.tag}")


@flow(name="train", flow_run_name=_named("train"), persist_result=False)
@known_ends
def train(
    workspace: str,
    slot: str,
    version: str = "latest",
    also: list[str] | None = None,
    revision: str = "",
    release: str = "",
) -> None:
    """Train an adapter on a dataset version and register it as a candidate.

    Args:
        workspace: Git address of the workspace, or its folder.
        slot: SITE/TASK.
        version: Dataset version: `latest`, `v3`, or its tag.
        also: More slots (SITE/TASK each) to train on their latest versions in the same pass over the backbone.
        revision: Commit at the Git address whose settings are used; empty means the newest one.
        release: Release that the worker must have; empty allows any.
    """
    versions = {**dict.fromkeys(map(Slot.parse, also or ()), "latest"), Slot.parse(slot): version}
    wait_for_turn(workspace, list(versions))
    opened = open_in_run(workspace, revision, release)
    take_gpu(_processes(opened, *versions))
    datasets = {one: tasks.latest_dataset(opened, one, wanted) for one, wanted in versions.items()}
    if also:
        trained = tasks.train_slots(opened, {one: dataset.tag for one, dataset in datasets.items()})
        runs = [
            SlotRun(str(one), f"{done.name} v{done.version} on {datasets[one].tag}") for one, done in trained.items()
        ]
        publish_outcome("train", None, RunOutcome(slots=tuple(runs)), f"{count(len(runs), 'slot')} trained")
        return
    ((one, dataset),) = datasets.items()
    adapter = tasks.train_slot(opened, one, dataset.tag)
    publish_outcome("train", one, RunOutcome(adapter=adapter), f"{adapter.name} v{adapter.version} on {dataset.tag}")


@flow(name="gate", flow_run_name="gate {slot}", persist_result=False)
@known_ends
def gate(workspace: str, slot: str, version: int | None = None, revision: str = "", release: str = "") -> State[Any]:
    """Judge a registered version against the champion; a refusal ends as Completed under the name Refused or Undecided.

    Args:
        workspace: Git address of the workspace, or its folder.
        slot: SITE/TASK.
        version: Version in the registry; empty means the newest candidate.
        revision: Commit at the Git address whose settings are used; empty means the newest one.
        release: Release that the worker must have; empty allows any.
    """
    wait_for_turn(workspace, [Slot.parse(slot)])
    take_gpu()
    judged, promoted = _judge(open_in_run(workspace, revision, release), Slot.parse(slot), version)
    outcome = RunOutcome(gate=judged, promoted=promoted)
    publish_outcome("gate", Slot.parse(slot), outcome, f"The gate on {slot}: {judged.verdict.outcome}")
    return final_state(slot, judged)


@flow(name="retrain", flow_run_name=_named("retrain"), persist_result=False)
@known_ends
def retrain(
    workspace: str,
    slot: str,
    source: str = "",
    options: dict[str, Any] | None = None,
    also: list[str] | None = None,
    revision: str = "",
    release: str = "",
) -> State[Any]:
    """From audio to verdict: ingest, train, register, gate (and promote, if `auto_promote` is set).

    Run again after it was stopped anywhere, it ends as if it had never been stopped: every step finds what is done.

    Args:
        workspace: Git address of the workspace, or its folder.
        slot: SITE/TASK.
        source: Path of a delivery to take in first; empty takes in what is complete in the slot's inbox, if anything.
        options: `format`, `format_options`, `noise`, `snr`, `condition`, `channel` of the delivery.
        also: More slots (SITE/TASK each): all are taken in, then trained in one pass, then gated. One that fails does
            not stop the others.
        revision: Commit at the Git address whose settings are used; empty means the newest one.
        release: Release that the worker must have; empty allows any.
    """
    opened, parsed = open_in_run(workspace, revision, release), Slot.parse(slot)
    slots = list(dict.fromkeys([parsed, *map(Slot.parse, also or ())]))
    if missed := missed_state(opened, parsed):
        return missed
    wait_for_turn(workspace, slots)
    if not has_joined():
        take_gpu(_processes(opened, *slots))
    if also:
        steps = GroupSteps(
            lambda opened, one: _take_in(opened, one, "", None, tasks.import_training)[0],
            tasks.train_slots,
            tasks.train_slot,
            lambda opened, one, version: _judge(opened, one, version)[0],
        )
        runs = tuple(retrain_together(opened, slots, steps))
        publish_outcome("retrain", None, RunOutcome(slots=runs), f"{count(len(runs), 'slot')} retrained")
        return final_state_of_all(runs)
    with shared_training(opened, parsed) as shared:
        # the libraries are imported while another process starts
        dataset, refused = _take_in(opened, parsed, source, options, tasks.import_training)
        adapter = tasks.train_slot(opened, parsed, dataset.tag, shared)
        judged, promoted = _judge(opened, parsed, adapter.version)
        title = f"{adapter.name} v{adapter.version} on {dataset.tag}: {judged.verdict.outcome}"
        publish_outcome("retrain", parsed, RunOutcome(dataset, adapter, judged, promoted, refused=refused), title)
    return final_state(slot, judged)


@flow(name="monitor", flow_run_name="monitor {slot}", persist_result=False)
@known_ends
def monitor(
    workspace: str, slot: str, source: str = "", column: str = "", revision: str = "", release: str = ""
) -> State[Any]:
    """Look at what a site sent, and ask for a retraining if the policy wants one; an open alarm ends as Alarm.

    Args:
        workspace: Folder of the workspace.
        slot: SITE/TASK.
        source: Folder or manifest with the recordings; empty means `monitor.source` of the settings.
        column: Column of a manifest that names the session.
        revision: Commit at the Git address whose settings are used; empty means the newest one.
        release: Release that the worker must have; empty allows any.
    """
    from pipelines.orchestration import monitor_tasks  # numpy and scipy are not for the other flows

    opened, parsed = open_in_run(workspace, revision, release), Slot.parse(slot)
    if missed := missed_state(opened, parsed, "monitor"):
        return missed
    wait_for_turn(workspace, [parsed], ("monitor",))
    done = monitor_tasks.look_at_site(opened, parsed, source, column)
    decision = monitor_tasks.decide_on_retraining(opened, parsed, done)
    text = f"{done.sentence}; retraining {decision.outcome}: {'; '.join(decision.reasons)}"
    publish_outcome("monitor", parsed, RunOutcome(slots=(SlotRun(slot, text),)), f"{slot}: {done.sentence}")
    return Completed(name="Alarm" if done.look.alarm_since else None, message=f"{slot}: {text}")


def _processes(workspace: Workspace, *slots: Slot) -> int:
    """Return how many processes, with a GPU each, the training of these slots needs at most."""
    return max(workspace.settings.for_slot(slot).compute.processes for slot in slots)


def _take_in(
    workspace: Workspace,
    slot: Slot,
    source: str,
    options: dict[str, Any] | None,
    meanwhile: Callable[[], None] | None = None,
) -> tuple[DatasetVersion, dict[str, str]]:
    """Take in the source, or the inbox; return the dataset version in force then, and what the inbox refused."""
    refused: dict[str, str] = {}
    if source:
        tasks.ingest_delivery(workspace, slot, source, options, meanwhile)
    else:
        refused = tasks.take_inbox(workspace, slot, options, meanwhile)
    try:
        return tasks.latest_dataset(workspace, slot), refused
    except VersioningError as error:
        if refused:
            # the slot has no data because of it
            raise DataRefused(str(slot), [f"{name}: {reason}" for name, reason in refused.items()]) from error
        raise


def _judge(workspace: Workspace, slot: Slot, version: int | None) -> tuple[GateOutcome, bool]:
    """Judge a version; promote it if it passed and the workspace has `auto_promote`."""
    judged = tasks.gate_slot(workspace, slot, version)
    promoted = judged.verdict.passed and workspace.settings.auto_promote
    if promoted:
        tasks.promote_slot(workspace, slot, judged.version)
    return judged, promoted


@flow(name="retrain-all", flow_run_name="retrain all slots", persist_result=False)
@known_ends
def retrain_all(
    workspace: str, deployment: str, slots: list[str] | None = None, revision: str = "", release: str = ""
) -> State[Any]:
    """Retrain every slot that has data in runs on the training pool, and wait for all.

    A run has one slot, or up to `servers.together` slots that can be trained in one pass.
    This run waits on the data pool: on the training pool it would take the place that its own children need.

    Args:
        workspace: Git address of the workspace, or its folder.
        deployment: Deployment that retrains one slot, `retrain/<name>`.
        slots: Only these (SITE/TASK each); empty means all.
        revision: Commit at the Git address whose settings are used; empty means the newest one.
        release: Release that the worker must have; empty allows any.
    """
    opened = open_in_run(workspace, revision, release)
    chosen = slots or tasks.slots_to_train(opened)
    # as tasks, because `run_deployment` cannot be gathered in a synchronous flow
    futures = [
        tasks.retrain_in_own_run.submit(
            deployment, workspace, [str(slot) for slot in group], queue, opened.revision, release
        )
        for queue, group in together(opened.settings, [Slot.parse(slot) for slot in chosen])
    ]
    wait_for_slots(futures)
    runs = tuple(run for future in futures for run in future.result())
    publish_outcome("retrain-all", None, RunOutcome(slots=runs), f"{count(len(runs), 'slot')} retrained")
    return final_state_of_all(runs)
