"""One run of a slot at a time, whatever started it: a run that meets another one goes back to its queue.

That holds for the flows that change data, versions or the champion of a slot. A look (`monitor`) and a search (`tune`)
change none of them, so they run next to one of these. Looks wait for each other; searches share one study.

The order is that of Prefect's server, which stamps each state. Two runs that begin in the same moment see each other:
before a run is Running it has been Pending for as long as its process took to start. A run whose process is gone is
ended by the supervision, so it holds up the others for no longer than that takes. There is no lease that could leak.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from prefect import get_run_logger
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import deployment, flow_run
from prefect.settings import PREFECT_API_URL

from elp_core.types import Seconds
from pipelines.local.schedule_settings import entry_of
from pipelines.local.workspace import Workspace
from pipelines.orchestration.catch_up import OUTAGE, LateRun, missed_runs, of_entry, read_late_runs
from pipelines.orchestration.send_back import send_back
from pipelines.orchestration.slot_deployments import pages, patient_request, rest_errors, server_now
from pipelines.prefect_names import MISSED
from pipelines.registry.slot import Slot

FLOWS_OF_SLOTS = ("ingest", "train", "gate", "retrain", "migrate")
"""Flows that change something of a slot."""
_OCCUPIED = ("RUNNING", "CANCELLING")
_SETTLED: Seconds = 2.0
"""After this long every state that has an earlier time stamp can be read."""
_AHEAD: Seconds = 5.0
"""The server's time is known in whole seconds, and a run that begins meanwhile is later."""
_PAUSE: Seconds = 20.0
_LONGEST: Seconds = 300.0


def wait_for_turn(workspace: str, slots: Sequence[Slot], flows: Sequence[str] = FLOWS_OF_SLOTS) -> None:
    """Return if no other run of these flows is in progress for these slots; else put this run back and end the process.

    `workspace` is the parameter of that name. Raises ServiceError if Prefect does not answer or not put the run back.
    """
    api, run_id = PREFECT_API_URL.value(), flow_run.get_id()
    if not api or not run_id or not deployment.id:
        # a flow that is called as a function has no queue
        return
    wanted = {str(slot) for slot in slots}
    with rest_errors(api):
        runs = _occupants(api, workspace, wanted, flows)
        if any(run["id"] != run_id and run["state"]["type"] == "PENDING" for run in runs):
            time.sleep(_SETTLED)
            runs = _occupants(api, workspace, wanted, flows)
        if not (first := earlier_run(runs, run_id, server_now(api).timestamp())):
            return
        pause = min(_PAUSE * max(flow_run.run_count or 1, 1), _LONGEST)
        names = ", ".join(sorted(wanted & _slots(first)))
        message = f"waits: the run {first['name']} ({first['id'][:8]}) of {names} is in progress"
        get_run_logger().info("%s; looking again in %d s", message, pause)
    send_back(message, pause)


def earlier_run(runs: Sequence[Mapping[str, Any]], run_id: str, now: float) -> Mapping[str, Any] | None:
    """Return a run that is in progress and was so before the run with this id; None if there is none.

    `runs` are runs of the same slots, as Prefect describes them; `now` is the time of its server. A run with a later
    state is from before the server's clock was set back.
    """
    mine = next((_order(run) for run in runs if run["id"] == run_id), None)
    others = [run for run in runs if run["id"] != run_id and run["state"]["type"] in _OCCUPIED]
    earlier = [run for run in others if mine is None or _order(run) < mine or _stamp(run["state"]) > now + _AHEAD]
    return min(earlier, key=_order, default=None)


def missed_state(opened: Workspace, slot: Slot, flow: str = "retrain") -> State[Any] | None:
    """Return the final state of this run of a flow if it is a late one that does not start by `catch_up`; else None.

    Raises ServiceError if Prefect does not answer.
    """
    api, run_id = PREFECT_API_URL.value(), flow_run.get_id()
    entry = entry_of(opened.settings.schedule_entries(), slot, flow)
    if not entry or not api or not run_id or not deployment.id:
        return None
    with rest_errors(api):
        run = patient_request(f"{api}/flow_runs/{run_id}")
        # one that has begun before is started again after a crash, or was put back
        if not of_entry(run) or run["run_count"] > 1:
            return None
        states = patient_request(f"{api}/flow_run_states/?flow_run_id={run_id}")
        noticed = min(
            (_stamp(state) for state in states if state["name"] == "Late" or state["type"] == "PENDING"), default=None
        )
        due = datetime.fromisoformat(run["expected_start_time"]).timestamp()
        me = LateRun(run_id, str(slot), due, noticed, flow)
        late = list(read_late_runs(opened, api, str(slot)))
        # no supervision may have noted when a worker was up: the runs of the pool say it
        busy = entry.catch_up == "newest" or pool_was_at_work(api, str(run["work_pool_name"]), due)
        now = server_now(api).timestamp()
    found = missed_runs([me, *late], {me.key: entry.catch_up}, now, worker_seen={flow: now if busy else due})
    reason = next((reason for one, reason in found if one is me), "")
    return State(type=StateType.CANCELLED, name=MISSED, message=reason) if reason else None


def pool_was_at_work(api: str, pool: str, due: float) -> bool:
    """Return whether a run of a pool was in progress at a moment, or began within `OUTAGE` after it.

    A worker without a run would have taken one that was due, so without any such run no worker was up. A run that
    crashed proves nothing: it may have been reported when its worker came back. No answer raises OSError.
    """
    at, until = (datetime.fromtimestamp(moment, UTC).isoformat() for moment in (due, due + OUTAGE))
    begun: dict[str, Any] = {"start_time": {"before_": until}}
    ended = {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CANCELLED"]}}, "end_time": {"after_": at}}
    open_ones = {"state": {"type": {"any_": ["RUNNING", "CANCELLING"]}}}
    return any(
        patient_request(f"{api}/flow_runs/count", {"flow_runs": begun | kind, "work_pools": {"name": {"any_": [pool]}}})
        for kind in (ended, open_ones)
    )


def _occupants(api: str, workspace: str, slots: set[str], flows: Sequence[str]) -> list[dict[str, Any]]:
    """Return the runs of some slots that are in progress, or about to be."""
    wanted = {
        "flow_runs": {"state": {"type": {"any_": [*_OCCUPIED, "PENDING"]}}},
        "flows": {"name": {"any_": list(flows)}},
        "sort": "ID_DESC",
    }
    found = pages(api, "flow_runs/filter", wanted)
    return [run for run in found if run["parameters"].get("workspace") == workspace and slots & _slots(run)]


def _slots(run: Mapping[str, Any]) -> set[str]:
    given = run["parameters"]
    return {str(given.get("slot")), *map(str, given.get("also") or ())}


def _order(run: Mapping[str, Any]) -> tuple[float, str]:
    # the state's time stamp is the server's: a client sends none
    return _stamp(run["state"]), run["id"]


def _stamp(state: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(state["timestamp"]).timestamp()
