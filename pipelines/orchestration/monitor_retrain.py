"""Retrainings that the monitor asks for: gather the facts, decide, start the run, and record the decision."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from pipelines.datasets.versions import find_latest, version_at
from pipelines.errors import RegistryError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.git_server import pushed_revision
from pipelines.local.gpu_need import slot_queue
from pipelines.local.release import installed_release
from pipelines.local.workspace import Workspace
from pipelines.monitoring.fleet_status import monitored_slots
from pipelines.monitoring.look import AudioLook
from pipelines.monitoring.look_list import monitor_folder, recorded_looks
from pipelines.monitoring.monitor_slot import record_decision
from pipelines.monitoring.retrain_decision import RetrainDecision, RetrainFacts, confidence_fell, decide_retrain
from pipelines.orchestration.prefect_api import connect_prefect, run_name, start_run
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client.connection import connect
from pipelines.registry.client.model_registry import find_champion
from pipelines.registry.slot import Slot

_WEEK = 7.0


def retrain_if_needed(workspace: Workspace, slot: Slot, look: AudioLook) -> RetrainDecision:
    """Decide after a look whether the slot is retrained, start the run if so, and record the decision.

    Raises:
        ServiceError: Prefect does not answer; the decision is then not recorded.
    """
    champion = find_champion(connect(mlflow_uri(workspace)), slot)
    if champion is None:
        raise RegistryError(f"{slot} has no champion any more; promote one: elp promote {slot}")
    now = datetime.now(UTC)
    policy = workspace.settings.for_slot(slot).monitor.retrain
    decision = decide_retrain(retrain_facts(workspace, slot, champion, look, now), policy)
    run = _start(workspace, slot) if decision.outcome == "started" else ""
    record_decision(monitor_folder(workspace.state, slot), slot, decision, run)
    return decision


def retrain_facts(
    workspace: Workspace, slot: Slot, champion: AdapterVersion, look: AudioLook, now: datetime
) -> RetrainFacts:
    """Return what a decision follows from, at a moment."""
    own = list(_days_since_starts(workspace, slot, now))
    every = [days for one in monitored_slots(workspace.state) for days in _days_since_starts(workspace, one, now)]
    newest = find_latest(workspace, slot)
    trained = version_at(workspace, champion.dataset, slot) if champion.dataset and newest else None
    return RetrainFacts(
        alarm=bool(look.alarm_since),
        confidence_fell=confidence_fell(look),
        champion_days=_days(champion.created, now),
        new_clips=max(0, newest.clips - trained.clips) if newest and trained else 0,
        days_since_start=min(own, default=None),
        slot_starts=sum(days < _WEEK for days in own),
        fleet_starts=sum(days < _WEEK for days in every),
    )


def _days_since_starts(workspace: Workspace, slot: Slot, now: datetime) -> Iterator[float]:
    for entry in recorded_looks(monitor_folder(workspace.state, slot)):
        if entry["kind"] == "retrain" and entry["outcome"] == "started":
            yield _days(str(entry["at"]), now)


def _days(moment: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(moment)).total_seconds() / 86_400


def _start(workspace: Workspace, slot: Slot) -> str:
    """Ask for a run of `retrain`, and return the address of its page."""
    names = [str(slot)]
    parameters = {"slot": str(slot)}
    if workspace.settings.git:
        parameters |= {"revision": pushed_revision(workspace), "release": installed_release()}
    with connect_prefect(workspace) as client:
        queue = slot_queue(workspace.settings, [slot])
        run = start_run(client, workspace, "retrain", parameters, run_name("retrain", names), names, queue)
    return run.url
