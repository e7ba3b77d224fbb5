"""The steps of the flow `monitor` as Prefect tasks, and what they have in common with the command."""

from __future__ import annotations

from prefect import get_run_logger, task

from pipelines.errors import UsageError, WorkspaceError
from pipelines.local.workspace import Workspace
from pipelines.monitoring.monitor_slot import LookResult
from pipelines.monitoring.retrain_decision import RetrainDecision
from pipelines.orchestration.monitor_retrain import retrain_if_needed
from pipelines.orchestration.monitor_source import audio_source, look_at_source
from pipelines.orchestration.tasks import RETRY
from pipelines.registry.slot import Slot


@task(name="look", task_run_name="look at {slot}", **RETRY)
def look_at_site(workspace: Workspace, slot: Slot, source: str = "", column: str = "") -> LookResult:
    """Compare what the site sent with the slot's golden set, and record the look. What was counted counts once."""
    if workspace.home:
        raise WorkspaceError(
            f"the looks at {slot} are kept in the workspace's folder, and this run has a clone of its own; run "
            "elp monitor in the workspace itself, or let its elp up take the run"
        )
    log = get_run_logger().info
    found = audio_source(workspace, slot, source, column, log)
    if found is None:
        raise UsageError(
            f"{slot} has no source of audio; name a folder or manifest in monitor.source of elp.yaml, or let elp serve "
            f"log its requests (requests.share)"
        )
    done = look_at_source(workspace, slot, found, log)
    log("%s: %s", slot, done.sentence)
    return done


@task(name="decide", task_run_name="decide on {slot}", **RETRY)
def decide_on_retraining(workspace: Workspace, slot: Slot, done: LookResult) -> RetrainDecision:
    """Decide whether the slot is retrained after a look, ask for the run if so, and record the decision."""
    decision = retrain_if_needed(workspace, slot, done)
    get_run_logger().info("%s: retraining %s: %s", slot, decision.outcome, "; ".join(decision.reasons))
    return decision
