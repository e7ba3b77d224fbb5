"""After an outage: of the late runs of a slot the newest starts, or none. Prefect would start all, the oldest first.

The rule is applied at two places, and applying it twice changes nothing: the supervision looks every few seconds, and
a run looks when it begins, because a worker may take an old run before the supervision has looked. A run that does not
start ends in the state ``Missed`` (of Prefect's type CANCELLED), so that Prefect's pages and `elp schedule list` count
it. Runs that a server in an outage never planned are one such run a slot, with their number in its tag ``missed:N``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from elp_core.files import write_whole
from elp_core.types import Seconds
from pipelines.local.schedule_settings import CatchUp, ScheduleEntry, entry_of
from pipelines.local.worker_plan import CPU_POOL, GPU_POOL
from pipelines.local.workspace import Workspace
from pipelines.number_text import count, duration
from pipelines.orchestration.alerts.alert import Alert
from pipelines.orchestration.alerts.automations import emit
from pipelines.orchestration.alerts.operation_alerts import operation_alert
from pipelines.orchestration.prefect_api import deployment_name
from pipelines.orchestration.schedule_plan import planned_starts
from pipelines.orchestration.slot_deployments import (
    MONITOR,
    SLUG,
    flow_of,
    pages,
    patient_request,
    read_slot_deployments,
    server_now,
)
from pipelines.prefect_names import MISSED
from pipelines.registry.slot import Slot

COUNT_TAG = "missed:"
"""Begin of the tag with the number of starts that one such run stands for."""
OUTAGE: Seconds = 120.0
"""An interruption that is shorter is none: the server marks a run as late within 20 s, a worker reports every 30 s."""
_BULK = 50
"""Runs in one request, Prefect's limit."""
_HEARTBEATS: Seconds = 90.0
"""So long after its end, Prefect still takes a worker for one that is up."""
_MOST = 10_000
"""Starts of one slot that an outage can miss: those of a week, one a minute."""
_SEEN_FILE = "schedules-seen.json"
_POOLS = {"retrain": GPU_POOL, MONITOR: CPU_POOL}
"""Flow of a schedule -> the pool whose workers take its runs."""


@dataclass(frozen=True)
class LateRun:
    """A planned run of a schedule of `elp.yaml` whose time has come, and that has not begun."""

    id: str
    slot: str
    due: float
    """Seconds since the epoch."""
    noticed: float | None
    """When Prefect marked it as late; None if it has not."""
    flow: str = "retrain"

    @property
    def key(self) -> tuple[str, str]:
        """Slot and flow: runs of different flows do not replace each other."""
        return self.slot, self.flow


def missed_runs(
    late: Iterable[LateRun],
    policies: Mapping[tuple[str, str], CatchUp],
    now: float,
    worker_seen: Mapping[str, float],
) -> list[tuple[LateRun, str]]:
    """Return the late runs that do not start, with the reason; `worker_seen` is when a worker of each flow last was up.

    `policies` has the policy of each slot and flow; a run of a slot that no entry names any more is left alone.
    """
    found = []
    by_key: dict[tuple[str, str], list[LateRun]] = {}
    for run in late:
        by_key.setdefault(run.key, []).append(run)
    for (slot, flow), runs in by_key.items():
        newest = max(runs, key=lambda run: run.due)
        for run in sorted(runs, key=lambda run: run.due):
            policy = policies.get((slot, flow))
            if policy and run.due < newest.due:
                found.append((run, f"a newer run of {slot} is due; only the newest one starts"))
            elif policy == "skip" and (reason := outage_at(run, now, worker_seen[flow])):
                found.append((run, f"{reason}, and catch_up of {slot} is skip"))
    return found


def outage_at(run: LateRun, now: float, worker_seen: float) -> str:
    """Return which outage kept a run from its start; empty if it only waits for a free worker."""
    # a server that is up marks a late run within seconds: if it did so much later, it was not up at the run's time
    if (run.noticed or now) - run.due > OUTAGE:
        return "Prefect was not up at its time"
    if run.due > worker_seen - _HEARTBEATS and now - run.due > OUTAGE:
        return "no worker was up at its time"
    return ""


def end_late_runs(workspace: Workspace, api: str, entries: Sequence[ScheduleEntry], say: Callable[[str], None]) -> None:
    """Apply the rule to the late runs of the workspace, with alerts about it. No answer raises OSError."""
    up = {flow: _worker_is_up(api, pool) for flow, pool in _POOLS.items()}
    # the times of the runs are by the clock of the server, which may run on another machine
    now, path = server_now(api).timestamp(), workspace.state / _SEEN_FILE
    before = _read_seen(path, now)
    worker_seen = {flow: now if up[flow] else before[flow] for flow in _POOLS}
    alerts = _never_planned(workspace, api, entries, before["server"], now, say)
    late = list(read_late_runs(workspace, api))
    policies = _policies(entries, {run.key for run in late})
    missed = missed_runs(late, policies, now, worker_seen)
    newest = {run.key: (run, reason) for run, reason in missed}
    # before the runs end: nothing finds them afterwards; an alert that is sent again changes nothing
    emit(workspace, api, alerts + [missed_alert(run, reason) for run, reason in newest.values()])
    by_reason: dict[str, list[LateRun]] = {}
    for run, reason in missed:
        by_reason.setdefault(reason, []).append(run)
    for reason, runs in by_reason.items():
        set_missed(api, runs, reason)
        say(f"{count(len(runs), 'planned run')} of {runs[0].slot} did not start: {reason}")
    # last: after a failure the next round does the same again
    write_whole(path, json.dumps({"server": now, **worker_seen}) + "\n")


def _worker_is_up(api: str, pool: str) -> bool:
    found = patient_request(f"{api}/work_pools/{pool}/workers/filter", {})
    return any(worker["status"] == "ONLINE" for worker in found)


def read_late_runs(workspace: Workspace, api: str, slot: str = "") -> Iterator[LateRun]:
    """Yield the late runs of the schedules of `elp.yaml`, of one slot or of all. No answer raises OSError."""
    wanted = {
        "flow_runs": {
            # a run that waits to be started again (AwaitingRetry) has begun already
            "state": {"type": {"any_": ["SCHEDULED"]}, "name": {"any_": ["Scheduled", "Late"]}},
            "expected_start_time": {"before_": server_now(api).isoformat()},
            "tags": {"all_": ["auto-scheduled", "elp", deployment_name(workspace), *([slot] if slot else [])]},
        },
        "sort": "EXPECTED_START_TIME_ASC",
    }
    for run in pages(api, "flow_runs/filter", wanted):
        if of_entry(run) and workspace.owns(run["parameters"].get("workspace")):
            state = run["state"]
            noticed = _seconds(state["timestamp"]) if state["name"] == "Late" else None
            due, flow = _seconds(run["expected_start_time"]), flow_of(run["tags"])
            yield LateRun(run["id"], run["parameters"]["slot"], due, noticed, flow)


def of_entry(run: Mapping[str, Any]) -> bool:
    """Return whether a schedule of `elp.yaml` made a run, as Prefect describes it."""
    maker = run.get("created_by") or {}
    named = str(maker.get("display_value") or "").startswith(SLUG)
    return maker.get("type") == "SCHEDULE" and named and bool(run["parameters"].get("slot"))


def missed_count(run: Mapping[str, Any]) -> int:
    """Return how many starts a run in the state Missed stands for."""
    numbers = (tag.removeprefix(COUNT_TAG) for tag in run["tags"] if tag.startswith(COUNT_TAG))
    return next((int(number) for number in numbers if number.isdigit()), 1)


def _policies(entries: Sequence[ScheduleEntry], keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], CatchUp]:
    found = {key: entry_of(entries, Slot.parse(key[0]), key[1]) for key in keys}
    return {key: entry.catch_up for key, entry in found.items() if entry}


def set_missed(api: str, runs: Sequence[LateRun], reason: str) -> None:
    """End late runs as missed. No answer raises OSError."""
    for at in range(0, len(runs), _BULK):
        ids = [run.id for run in runs[at : at + _BULK]]
        body = {
            # only those that still wait: a worker may have taken one since
            "flow_runs": {"id": {"any_": ids}, "state": {"type": {"any_": ["SCHEDULED"]}}},
            "state": {"type": "CANCELLED", "name": MISSED, "message": reason},
            "limit": _BULK,
        }
        patient_request(f"{api}/flow_runs/bulk_set_state", body)


def _never_planned(
    workspace: Workspace,
    api: str,
    entries: Sequence[ScheduleEntry],
    seen: float,
    now: float,
    say: Callable[[str], None],
) -> list[Alert]:
    """Record the starts for which a server that was not up since `seen` planned no run."""
    if now - seen <= OUTAGE:
        return []
    alerts, outage = [], f"Prefect was not up for {duration(now - seen)}"
    begin, end = datetime.fromtimestamp(seen, UTC), datetime.fromtimestamp(now, UTC)
    for deployment, starts in _unplanned(workspace, api, entries, begin, end):
        text = f"{outage}, and planned no run for {count(len(starts), 'start')}"
        _record_missed(api, deployment, starts, text)
        alerts.append(_alert(deployment["slot"], starts[-1].timestamp(), text))
    if alerts:
        say(f"{outage}: {count(len(alerts), 'slot')} missed starts that were not planned")
    return alerts


def _unplanned(
    workspace: Workspace, api: str, entries: Sequence[ScheduleEntry], begin: datetime, end: datetime
) -> Iterator[tuple[dict[str, str], list[datetime]]]:
    """Yield the deployments that have starts between two moments without a run, and these starts."""
    active = {
        (one.slot, one.flow): one
        for one in read_slot_deployments(workspace, api)
        if not one.paused and any(schedule.active for schedule in one.declared)
    }
    by_key = {key: entry_of(entries, Slot.parse(key[0]), key[1]) for key, one in active.items() if one.declared}
    wanted = {
        "flow_runs": {
            "expected_start_time": {"after_": begin.isoformat(), "before_": end.isoformat()},
            "tags": {"all_": ["elp", deployment_name(workspace)]},
        }
    }
    runs = list(pages(api, "flow_runs/filter", wanted))
    planned = {(str(run.get("deployment_id")), round(_seconds(run["expected_start_time"]))) for run in runs}
    for entry in entries:
        slots = [Slot.parse(slot) for (slot, _), of_slot in by_key.items() if of_slot is entry]
        for slot, starts in planned_starts(entry, slots, begin, most=_MOST, until=end).items():
            one = active[str(slot), entry.flow]
            without = [at for at in starts if (one.id, round(at.timestamp())) not in planned]
            if without:
                schedule = one.declared[0].id
                yield {"id": one.id, "slot": str(slot), "flow": entry.flow, "schedule": schedule}, without


def _record_missed(api: str, deployment: Mapping[str, str], starts: Sequence[datetime], text: str) -> None:
    slot, last = deployment["slot"], starts[-1].isoformat()
    body = {
        "name": f"{deployment['flow']} {slot}",
        "state": {
            "type": "CANCELLED", "name": MISSED, "message": text, "state_details": {"scheduled_time": last},
        },
        "tags": [f"{COUNT_TAG}{len(starts)}"],
        # a second supervision gets the run that the first one made
        "idempotency_key": f"missed {deployment['schedule']} {last}",
    }  # fmt: skip
    patient_request(f"{api}/deployments/{deployment['id']}/create_flow_run", body)


def _read_seen(path: Path, now: float) -> dict[str, float]:
    """Return when the server, and a worker for each flow, were seen last, by the server's clock."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        # a file of an earlier release has the worker of `retrain` only
        return {name: min(now, float(raw.get(name, raw.get("worker", now)))) for name in ("server", *_POOLS)}
    except (OSError, ValueError, AttributeError, TypeError):
        # the first look, or a damaged file: nothing is known of an outage
        return dict.fromkeys(("server", *_POOLS), now)


def missed_alert(run: LateRun, reason: str) -> Alert:
    """Return the alert about a run that ended as missed."""
    return _alert(run.slot, run.due, reason)


def _alert(slot: str, due: float, reason: str) -> Alert:
    return operation_alert("elp.schedule.missed", f"{slot} {due:.0f}", slot=slot, reason=reason)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
