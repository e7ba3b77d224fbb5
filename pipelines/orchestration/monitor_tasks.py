"""The steps of the flow `monitor` as Prefect tasks, and what they have in common with the command."""

from __future__ import annotations

from pathlib import Path

from prefect import get_run_logger, task

from pipelines.errors import UsageError, WorkspaceError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.monitoring.look_list import monitor_folder
from pipelines.monitoring.monitor_slot import LookResult, monitor_slot
from pipelines.monitoring.retrain_decision import RetrainDecision
from pipelines.monitoring.sent_audio import SentAudio
from pipelines.orchestration.monitor_retrain import retrain_if_needed
from pipelines.orchestration.tasks import RETRY
from pipelines.registry.slot import Slot


@task(name="look", task_run_name="look at {slot}", **RETRY)
def look_at_site(workspace: Workspace, slot: Slot, source: str = "", column: str = "") -> LookResult:
    """Compare what the site sent with the slot's golden set, and record the look. What was counted counts once."""
    if workspace.home:
        raise WorkspaceError(
            f"the looks at {slot} are kept in the workspace's folder, and this run has a clone of its own; run "
            "elp monitor in the workspace itself, by its clock"
        )
    log, path = get_run_logger().info, source_path(workspace, slot, source)
    done = monitor_slot(
        str(workspace.root),
        slot,
        workspace.settings,
        SentAudio(path, column, may_be_empty=True, log=log),
        mlflow_uri=mlflow_uri(workspace),
        cache=workspace.cache,
        folder=monitor_folder(workspace.state, slot),
        log=log,
    )
    for fault in done.unreadable:
        log("left out: %s", fault)
    log("%s: %s", slot, done.sentence)
    return done


@task(name="decide", task_run_name="decide on {slot}", **RETRY)
def decide_on_retraining(workspace: Workspace, slot: Slot, done: LookResult) -> RetrainDecision:
    """Decide whether the slot is retrained after a look, ask for the run if so, and record the decision."""
    decision = retrain_if_needed(workspace, slot, done)
    get_run_logger().info("%s: retraining %s: %s", slot, decision.outcome, "; ".join(decision.reasons))
    return decision


def source_path(workspace: Workspace, slot: Slot, source: str = "") -> Path:
    """Return where a look at a slot finds recordings: `source`, or else `monitor.source` of the settings.

    Raises:
        UsageError: Neither names a place.
    """
    named = source or workspace.settings.for_slot(slot).monitor.source_of(slot.site, slot.task)
    if not named:
        raise UsageError(
            f"{slot} has no source of recordings; name a folder or manifest with --from, or set monitor.source in "
            "elp.yaml"
        )
    return workspace.root / named
