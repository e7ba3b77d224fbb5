"""The reaper: end the runs that are dead, and start crashed runs of the workspace again, a limited number of times.

It uses Prefect's REST API with the standard library. `lost_runs` decides which run is dead. Each change is made only if
the run still has the state that was judged, so two reapers do not disturb each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from elp_core.files import write_whole
from elp_core.types import Seconds
from pipelines.local.interrupted_runs import STOPPED_BY_DOWN, find_processes, worker_of
from pipelines.local.prefect_request import prefect_request
from pipelines.local.runs_in_progress import unfinished_runs
from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts.alert import Alert
from pipelines.orchestration.alerts.operation_alerts import operation_alert
from pipelines.orchestration.lost_runs import SETTLED, LostRun, SeenRun, Watched, look
from pipelines.orchestration.slot_deployments import pages, server_now
from pipelines.orchestration.worker_watch import WorkerWatch, lost_workers, read_workers
from pipelines.outages import WAITS

STARTS_AGAIN = 3
"""How often a crashed run is started again; one that crashes once more waits for a person."""
GIVEN_UP = f"crashed {STARTS_AGAIN + 1} times, so it is not started again automatically; read its log"
"""Message of a run that is not started again."""

STARTS_WITHIN: Seconds = 60.0
"""A run that has crashed for longer than this is not started again any more: no supervision runs."""

_AGAIN = "started again after a crash"
_PUT_BACK = "put back to its queue"
_CANCELS = ("CANCELLING", "CANCELLED")
_HEARTBEAT = "prefect.flow-run.heartbeat"
_OLD = timedelta(minutes=10)
"""A crashed run that is younger was seen by no earlier round."""
_LONG = 4
"""So often has a run begun when its wait is reported: that is after about three minutes."""
_STATE_FILE = "recovery.json"
_PAGE = 200
_CHUNK = 50
"""Runs in one question about heartbeats; Prefect answers with at most 50 events."""


@dataclass
class Reaper:
    """What the reaper of one workspace knows between two rounds."""

    workspace: Workspace
    tags: tuple[str, ...]
    """Tags of the runs of the workspace."""
    report: Callable[[Alert], None]
    log: Callable[[str], None]
    watched: Watched = field(default_factory=Watched)
    crashed: dict[str, float] = field(default_factory=dict)
    """Crashed states that are to be looked at when they are settled: when each was seen first, by its id."""
    waits: set[str] = field(default_factory=set)
    """Runs whose wait for the end of an outage was reported."""
    workers: WorkerWatch = field(default_factory=WorkerWatch)


def reap(reaper: Reaper, api: str, workers: Mapping[str, int], now: float) -> None:
    """Do one round at a moment of the monotonic clock. `workers` are this machine's workers and their process ids.

    No answer raises OSError, and what was seen before is kept: `look` decides how much of the pause counts.
    """
    runs = [run for run in unfinished_runs(api) if set(reaper.tags) <= set(run["tags"])]
    reaper.watched, lost = look(reaper.watched, _seen(api, runs, workers, reaper.log), now)
    faults = [fault for one in lost if (fault := _attempt(_end, reaper, api, one))]
    faults += _start_crashed_again(reaper, api, now)
    reports = (_attempt(_report_waits, reaper, api), _attempt(_report_workers, reaper, api, workers, now))
    faults += [fault for fault in reports if fault]
    if faults:
        # one run that Prefect refuses does not hold up the others
        raise faults[0]


def _attempt(work: Callable[..., object], *arguments: object) -> OSError | None:
    try:
        work(*arguments)
    except OSError as error:
        return error
    return None


def cancel_asked(states: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a run was to be cancelled since it was put into its queue last, from its states in Prefect."""
    ordered = sorted(states, key=lambda state: datetime.fromisoformat(state["timestamp"]))
    for state in reversed(ordered):
        if state["type"] in _CANCELS:
            return True
        if state["type"] == "SCHEDULED":
            break
    return False


def may_start_again(message: str) -> bool:
    """Return whether a crashed run with this message is started again, if a supervision runs."""
    return message not in (STOPPED_BY_DOWN, GIVEN_UP)


def _seen(
    api: str, runs: Collection[dict[str, Any]], workers: Mapping[str, int], log: Callable[[str], None]
) -> Iterable[SeenRun]:
    """Return the runs with their signs of life."""
    if not runs:
        return []
    presence = find_processes(runs, workers, log)
    afar = [run for run in runs if worker_of(run) and worker_of(run) not in workers]
    heartbeats = _heartbeats(api, [str(run["id"]) for run in afar])
    known = read_workers(api, {str(run["work_pool_name"]) for run in afar})
    reported = {str(worker["name"]): str(worker["last_heartbeat_time"]) for worker in known}
    return [
        SeenRun(
            str(run["id"]), str(run["state"]["id"]), str(run["state_type"]), presence[str(run["id"])], worker_of(run),
            heartbeats.get(str(run["id"]), ""), reported.get(worker_of(run), ""),
        )
        for run in runs
    ]  # fmt: skip


def _heartbeats(api: str, runs: list[str]) -> dict[str, str]:
    """Return the id of the newest heartbeat of each run that has sent one."""
    found: dict[str, str] = {}
    # the events have the clock of the machine that sent them
    day = timedelta(days=1)
    occurred = {"since": (datetime.now(UTC) - 2 * day).isoformat(), "until": (datetime.now(UTC) + 2 * day).isoformat()}
    for begin in range(0, len(runs), _CHUNK):
        left = runs[begin : begin + _CHUNK]
        while left:
            resource = {"id": [f"prefect.flow-run.{run}" for run in left]}
            wanted = {"event": {"name": [_HEARTBEAT]}, "resource": resource, "occurred": occurred, "order": "DESC"}
            events = prefect_request(f"{api}/events/filter", {"filter": wanted, "limit": _CHUNK})["events"]
            for event in events:
                run = str(event["resource"]["prefect.resource.id"]).rpartition(".")[2]
                found.setdefault(run, str(event["id"]))
            # the events of a machine whose clock is ahead fill an answer: the others are asked for apart
            left = [run for run in left if run not in found] if len(events) == _CHUNK else []
    return found


def _end(reaper: Reaper, api: str, lost: LostRun) -> None:
    """Mark a dead run as crashed (or as cancelled, if that was asked for); put one that never began back."""
    run = lost.run
    if not lost.begun:
        state = {"type": "SCHEDULED", "name": "Scheduled", "message": f"{_PUT_BACK}: {lost.reason}"}
    elif run.state_type == "CANCELLING":
        state = {"type": "CANCELLED", "message": f"cancelled; {lost.reason}"}
    else:
        state = {"type": "CRASHED", "message": lost.reason}
    present = _present(api, run.id, run.state_id)
    if present is None or not _set_state(api, present, state):
        return
    reaper.log(f"flow run {present['name']} is lost: {lost.reason}")
    if lost.begun:
        _close_tasks(api, run.id, lost.reason)


def _start_crashed_again(reaper: Reaper, api: str, now: float) -> list[OSError]:
    """Start again each run that has crashed, when its worker has nothing more to report; return what went wrong."""
    wanted = {"state": {"type": {"any_": ["CRASHED"]}}, "tags": {"all_": list(reaper.tags)}}
    question = {"flow_runs": wanted, "sort": "END_TIME_DESC", "limit": _PAGE}
    runs = {str(run["state"]["id"]): run for run in prefect_request(f"{api}/flow_runs/filter", question)}
    settled = _read_settled(reaper.workspace)
    if settled is None:
        # what had crashed long before the first look is history: elp has said that it is not started again
        long_ago = server_now(api) - timedelta(seconds=STARTS_WITHIN)
        settled = {state for state, at in _moments(runs).items() if at < long_ago}
        _write_settled(reaper.workspace, settled)
    if set(runs) - settled - set(reaper.crashed):
        settled |= _history(runs, settled, server_now(api)) - set(reaper.crashed)
    new = set(runs) - settled
    reaper.crashed = {state: reaper.crashed.get(state, now) for state in new}
    due = [state for state in new if now - reaper.crashed[state] >= SETTLED]
    faults = {state: fault for state in due if (fault := _attempt(_settle, reaper, api, runs[state]))}
    if done := set(due) - set(faults):
        _write_settled(reaper.workspace, (settled | done) & set(runs))
    return list(faults.values())


def _history(runs: Mapping[str, Mapping[str, Any]], settled: Collection[str], now: datetime) -> set[str]:
    """Return the crashed states that are older than every settled one, and old at a moment of Prefect's clock.

    Prefect's answer has a limited number of runs: when one of them is started again, an old one takes its place. A new
    one is older than every settled one, too, if the clock was set back.
    """
    at = _moments(runs)
    oldest = min((at[state] for state in settled if state in at), default=None)
    return {state for state, moment in at.items() if oldest and moment < oldest and now - moment > _OLD}


def _moments(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, datetime]:
    return {state: datetime.fromisoformat(run["state"]["timestamp"]) for state, run in runs.items()}


def _settle(reaper: Reaper, api: str, run: dict[str, Any]) -> None:
    """Start a crashed run again, or leave it to a person."""
    present = _present(api, str(run["id"]), str(run["state"]["id"]))
    if present is None:
        return
    message = str(present["state"].get("message") or "")
    _close_tasks(api, str(run["id"]), message or "its flow run crashed")
    if not present["deployment_id"] or not may_start_again(message):
        return
    earlier = _states(api, run)
    if cancel_asked(earlier):
        # the report of a worker about the crash came after the request
        _cancel(reaper, api, present)
        return
    if sum((state.get("message") or "").startswith(_AGAIN) for state in earlier) >= STARTS_AGAIN:
        reaper.log(f"flow run {run['name']} has crashed {STARTS_AGAIN + 1} times and is not started again")
        _set_state(api, present, {"type": "CRASHED", "message": GIVEN_UP}, force=True)
        return
    # without a time: Prefect takes the present moment of its own clock
    if not _set_state(api, present, {"type": "SCHEDULED", "name": "AwaitingRetry", "message": _AGAIN}):
        return
    known = {state["id"] for state in earlier}
    if any(state["type"] in _CANCELS and state["id"] not in known for state in _states(api, run)):
        # the request came between the look and the new state
        _cancel(reaper, api, present)
    else:
        reaper.log(f"flow run {run['name']} had crashed and is started again")
        key, subject = str(present["state"]["id"]), f"{run['name']}, which had crashed,"
        reaper.report(operation_alert("elp.fault.healed", key, subject=subject, slot=_slot(present), reason=message))


def _cancel(reaper: Reaper, api: str, run: Mapping[str, Any]) -> None:
    reaper.log(f"flow run {run['name']} had crashed when it was cancelled, and is not started again")
    _set_state(api, run, {"type": "CANCELLED", "message": "cancelled after a crash"}, force=True)


def _states(api: str, run: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = prefect_request(f"{api}/flow_run_states/?flow_run_id={run['id']}")
    return found


def _report_waits(reaper: Reaper, api: str) -> None:
    """Report each run, once, that has met an outage several times: a short one heals without a person."""
    wanted = {"state": {"name": {"any_": ["AwaitingRetry"]}}, "tags": {"all_": list(reaper.tags)}}
    for run in prefect_request(f"{api}/flow_runs/filter", {"flow_runs": wanted, "limit": _PAGE}):
        message = str(run["state"].get("message") or "")
        if message.startswith(WAITS) and run["run_count"] >= _LONG and run["id"] not in reaper.waits:
            reaper.waits.add(str(run["id"]))
            key, reason = str(run["id"]), message.removeprefix(WAITS)
            reaper.report(operation_alert("elp.run.waits", key, subject=run["name"], slot=_slot(run), reason=reason))


def _report_workers(reaper: Reaper, api: str, local: Collection[str], now: float) -> None:
    for alert in lost_workers(reaper.workers, api, local, now):
        reaper.log(alert.what)
        reaper.report(alert)


def _present(api: str, run: str, state: str) -> dict[str, Any] | None:
    """Return a run as it is now; None if its state is another one than was judged."""
    found: dict[str, Any] = prefect_request(f"{api}/flow_runs/{run}")
    return found if str(found["state"]["id"]) == state else None


def _set_state(api: str, run: Mapping[str, Any], state: dict[str, Any], force: bool = False) -> bool:
    """Ask for a state and return whether the run has it; without `force`, Prefect's rules refuse what is outdated."""
    answer = prefect_request(f"{api}/flow_runs/{run['id']}/set_state", {"state": state, "force": force})
    return bool(answer["status"] == "ACCEPT")


def _close_tasks(api: str, run: str, reason: str) -> None:
    """Mark the task runs of a dead run as crashed; nobody else would."""
    wanted = {
        "flow_runs": {"id": {"any_": [run]}},
        "task_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}},
    }
    # all pages first: a task run that is closed is in none of them any more
    for task in list(pages(api, "task_runs/filter", wanted)):
        state = {"type": "CRASHED", "message": reason}
        prefect_request(f"{api}/task_runs/{task['id']}/set_state", {"state": state, "force": True})


def _slot(run: Mapping[str, Any]) -> str:
    return next((str(tag) for tag in run["tags"] if "/" in tag), "")


def _read_settled(workspace: Workspace) -> set[str] | None:
    """Return the crashed states that need no further look; None if that was never written or is damaged."""
    try:
        return set(map(str, json.loads((workspace.state / _STATE_FILE).read_text(encoding="utf-8"))["settled"]))
    except (OSError, ValueError, KeyError, TypeError):
        # it begins again with what has crashed by now
        return None


def _write_settled(workspace: Workspace, settled: set[str]) -> None:
    write_whole(workspace.state / _STATE_FILE, json.dumps({"settled": sorted(settled)}) + "\n")
