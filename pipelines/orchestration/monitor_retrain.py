"""Retrainings that the monitor asks for: gather the facts, decide, ask for the run, and record the decision.

The flow `monitor` and `elp monitor --retrain` both use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from pipelines.datasets.versions import find_latest, version_at
from pipelines.errors import RegistryError
from pipelines.local.addresses import mlflow_uri, prefect_api
from pipelines.local.workspace import Workspace
from pipelines.locks import file_lock
from pipelines.monitoring.fleet_status import monitored_slots
from pipelines.monitoring.look import AudioLook
from pipelines.monitoring.look_list import monitor_folder, recorded_looks
from pipelines.monitoring.look_run import log_entries
from pipelines.monitoring.monitor_slot import LookResult, record_decision
from pipelines.monitoring.retrain_decision import RetrainDecision, RetrainFacts, confidence_fell, decide_retrain
from pipelines.orchestration.alerts.operation_alerts import report
from pipelines.orchestration.retrain_request import RetrainRequest, request_retraining
from pipelines.orchestration.slot_deployments import rest_errors
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client.connection import connect
from pipelines.registry.client.model_registry import find_champion
from pipelines.registry.monitor_names import TITLES
from pipelines.registry.slot import Slot

_WEEK = 7.0
_ASKED_DAYS = 1.0
"""So long a request of which no run was seen counts as a start: Prefect may still start it."""


def retrain_if_needed(workspace: Workspace, slot: Slot, done: LookResult) -> RetrainDecision:
    """Decide after a look whether the slot is retrained, ask for the run if so, and record the decision.

    An alarm that the look raised is reported to Prefect, too.

    Raises:
        ServiceError: Prefect does not answer; the decision is then not recorded.
    """
    client, look, folder = connect(mlflow_uri(workspace)), done.look, monitor_folder(workspace.state, slot)
    champion = find_champion(client, slot)
    if champion is None:
        raise RegistryError(f"{slot} has no champion any more; promote one: elp promote {slot}")
    if look.alarm_since == look.at:
        api = prefect_api(workspace)
        with rest_errors(api):
            moved = ", ".join(TITLES.get(name, name) for name in look.moved)
            report(workspace, api, "elp.audio.changed", f"{slot} {look.at}", slot=str(slot), reason=moved)
    # of all slots: looks at the same moment must not exceed a budget together
    with file_lock(workspace.state / "monitor" / "retrain.lock"):
        policy = workspace.settings.for_slot(slot).monitor.retrain
        decision = decide_retrain(retrain_facts(workspace, slot, champion, look, datetime.now(UTC)), policy)
        made = RetrainRequest(decision)
        if decision.outcome == "started":
            made = request_retraining(workspace, slot, decision)
        record_decision(folder, slot, made.decision, made.run)
    log_entries(client, done.run, folder)
    return made.decision


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
        days = _days(str(entry["at"]), now)
        started = entry["kind"] == "retrain" and (
            entry["outcome"] == "started" or (entry["outcome"] == "asked" and days < _ASKED_DAYS)
        )
        if started:
            yield days


def _days(moment: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(moment)).total_seconds() / 86_400
