"""Collect the figures of the operation: runs, queues, workers, steps, inboxes, the disk, the processes of `elp up`.

The supervision does it every `EVERY` seconds with a dozen small requests to Prefect, however many slots there are and
however often somebody reads the metrics.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from elp_core.errors import OpsError
from elp_core.types import Seconds
from pipelines.datasets.data_slots import slots_with_data
from pipelines.inbox.slot_inbox import inbox_slots
from pipelines.local.addresses import read_record
from pipelines.local.git import current_branch
from pipelines.local.git_server import fetch_branch
from pipelines.local.prefect_request import prefect_request
from pipelines.local.processes import alive
from pipelines.local.service_commands import POOLS
from pipelines.local.supervision import Ends
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.orchestration.alerts.alert import Alert
from pipelines.orchestration.alerts.operation_alerts import operation_alert
from pipelines.orchestration.inbox_watch import counts_file
from pipelines.orchestration.overdue_runs import is_overdue
from pipelines.orchestration.prefect_api import deployment_name
from pipelines.orchestration.slot_deployments import pages, server_now
from pipelines.registry.operation_figures import (
    FIGURES_FILE,
    DurationHistogram,
    OperationFigures,
    read_figures,
    write_figures,
)

EVERY: Seconds = 30.0
FLOW_NAMES = ("ingest", "train", "gate", "retrain", "retrain-all", "monitor", "tune", "migrate")
_STEPS = {"ingest ": "intake", "train ": "training", "gate ": "gate"}
"""First word of the name of a task run -> the step."""
_OPEN = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")
_FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
_UNBEGUN = ("SCHEDULED", "PENDING")
_PAGES = 25
"""5,000 runs of one look; the next one counts the rest."""
_REMEMBERED = 10_000
"""Ids of runs and tasks that are not counted again."""
_LATE: Seconds = 120.0
"""Prefect may store an end so much later than it was."""


@dataclass
class _Ended:
    """What has ended since the last look."""

    flows: dict[str, Counter[str]] = field(default_factory=dict)
    success: dict[str, float] = field(default_factory=dict)
    durations: dict[str, DurationHistogram] = field(default_factory=dict)
    ids: dict[str, float] = field(default_factory=dict)


def collect_figures(workspace: Workspace, api: str, ends: Mapping[str, Ends]) -> OperationFigures:
    """Collect the figures, write them to their file, and return them. `api` is empty if Prefect is not to be asked.

    Without an answer of Prefect, the figures that it has stay as they were.
    """
    path, now = workspace.state / FIGURES_FILE, time.time()
    figures = read_figures(path) or OperationFigures(read_until=now)
    figures = replace(figures, at=now, prefect=False)
    try:
        if api:
            figures = replace(_of_prefect(workspace, api, figures, server_now(api).timestamp()), prefect=True)
    except OSError:
        # shown as elp_prefect_up 0
        pass
    figures = _of_processes(workspace, _of_inboxes(workspace, figures), ends)
    gone = _gone(workspace, set(figures.last_success))
    last = {slot: end for slot, end in figures.last_success.items() if slot not in gone}
    disk = shutil.disk_usage(workspace.root)
    figures = replace(figures, last_success=last, disk_free=disk.free, disk_size=disk.total)
    write_figures(path, figures)
    return figures


def _of_processes(workspace: Workspace, before: OperationFigures, ends: Mapping[str, Ends]) -> OperationFigures:
    restarts = dict(before.restarts)
    # as `read_until`: later than now if the clock was ahead and has been set back
    last = {name: min(end, before.at) for name, end in before.last_end.items()}
    for name, end in ends.items():
        new = [at for at in end.times if at > last.get(name, 0.0)]
        restarts[name] = restarts.get(name, 0) + len(new)
        last[name] = max([last.get(name, 0.0), *new])
    processes = read_record(workspace).processes
    return replace(
        before,
        up={process.name: alive(process) for process in processes},
        restarts={process.name: 0 for process in processes} | restarts,
        last_end=last,
    )


def _of_inboxes(workspace: Workspace, before: OperationFigures) -> OperationFigures:
    try:
        found = json.loads(counts_file(workspace).read_text(encoding="utf-8"))
        return replace(before, inboxes=dict(found["slots"]), inbox_faults=len(found["faults"]))
    except (OSError, ValueError, KeyError, TypeError):
        # the supervision has not looked yet
        return before


def _gone(workspace: Workspace, slots: set[str]) -> set[str]:
    """Return those of some slots that the workspace has no more: neither data nor an inbox."""
    try:
        if not (slots - set(map(str, slots_with_data(workspace.root)))):
            return set()
        # the settings of now; and a worker may have taken in the first data of a slot
        present = open_workspace(workspace.root)
        if present.settings.git:
            fetch_branch(present, current_branch(present.root))
        return slots - set(map(str, (*slots_with_data(present.root), *inbox_slots(present))))
    except (OpsError, OSError):
        # what cannot be read now may be there
        return set()


def _of_prefect(workspace: Workspace, api: str, before: OperationFigures, now: float) -> OperationFigures:
    """Return the figures with what Prefect knows; `now` is by the clock of its server, as all its times are."""
    tags = {"tags": {"all_": ["elp", deployment_name(workspace)]}}
    # it is later than now if the clock was ahead and has been set back
    before = replace(before, read_until=min(before.read_until, now))
    runs, waiting, oldest = Counter[str](), Counter[str](), dict[str, float]()
    overdue = set[str]()
    for run in _open_runs(api, tags, now):
        runs[run["state_type"].lower()] += 1
        if run["state_type"] not in _UNBEGUN:
            continue
        pool, due = _pool(run), _moment(run["expected_start_time"])
        waiting[pool] += 1
        oldest[pool] = min(due, oldest.get(pool, due))
        if is_overdue(run, now):
            overdue.update(_slots(run) or [run["name"]])
    ended = _ended(api, tags, before)
    # what ends at this moment may be stored later
    until = max(before.read_until, now - _LATE)
    ids = {**dict.fromkeys(before.read_ids, now), **ended.ids}
    return replace(
        before,
        runs=dict(runs),
        waiting={pool: waiting[pool] for pool in POOLS},
        # the page subtracts it from `at`, which is by the clock of this machine
        oldest={pool: before.at - (now - due) for pool, due in oldest.items()},
        overdue=len(overdue),
        workers={pool: _online(api, pool) for pool in POOLS},
        ended={
            flow: dict(Counter(before.ended.get(flow, {})) + ended.flows.get(flow, Counter()))
            for flow in {*before.ended, *ended.flows}
        },
        last_success={**before.last_success, **ended.success},
        durations={**before.durations, **ended.durations},
        read_until=until,
        # those before are not read again
        read_ids=tuple(one for one, at in ids.items() if at >= until - _LATE)[-_REMEMBERED:],
    )


def _open_runs(api: str, tags: Any, now: float) -> Iterator[Any]:
    due = {"before_": datetime.fromtimestamp(now, UTC).isoformat()}
    wanted = {"state": {"type": {"any_": list(_OPEN)}}, "expected_start_time": due}
    yield from pages(api, "flow_runs/filter", {"flow_runs": wanted, "deployments": tags, "sort": "ID_DESC"}, _PAGES)


def _ended(api: str, tags: Any, before: OperationFigures) -> _Ended:
    """Return what has ended since the last look and was not counted."""
    found, seen = _Ended(durations=dict(before.durations)), set(before.read_ids)
    since = before.read_until - _LATE
    after = {"after_": datetime.fromtimestamp(since, UTC).isoformat()}
    wanted = {"state": {"type": {"any_": list(_FINAL)}}, "end_time": after}
    for run in pages(
        api, "flow_runs/filter", {"flow_runs": wanted, "deployments": tags, "sort": "END_TIME_DESC"}, _PAGES
    ):
        end = _moment(run["end_time"])
        # with its end: a run that crashed and was started again ends twice
        key = f"{run['id']} {run['end_time']}"
        if key in seen or end < before.read_until - _LATE:
            continue
        # a run that ends meanwhile moves the others to the next page
        seen.add(key)
        found.ids[key] = end
        flow = _flow(run["name"])
        found.flows.setdefault(flow, Counter())[run["state_type"].lower()] += 1
        for slot in _slots(run) if run["state_type"] == "COMPLETED" and flow in ("ingest", "retrain") else ():
            newest = max(found.success.get(slot, 0.0), before.last_success.get(slot, 0.0))
            found.success[slot] = max(end, newest)
    # task runs cannot be selected by their end: the newest come first, and the first old one ends the reading
    done = {"task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}, "deployments": tags, "sort": "END_TIME_DESC"}
    for task in pages(api, "task_runs/filter", done, _PAGES):
        if not task.get("end_time") or (end := _moment(task["end_time"])) < since:
            break
        step = next((step for word, step in _STEPS.items() if task["name"].startswith(word)), "")
        if step and task["id"] not in seen:
            seen.add(task["id"])
            found.ids[task["id"]] = end
            histogram = found.durations.get(step, DurationHistogram())
            found.durations[step] = histogram.with_one(float(task["total_run_time"]))
    return found


def _online(api: str, pool: str) -> int:
    workers = prefect_request(f"{api}/work_pools/{pool}/workers/filter", {}, timeout=15.0)
    return sum(worker["status"] == "ONLINE" for worker in workers)


def _pool(run: Mapping[str, Any]) -> str:
    pool = str(run.get("work_pool_name") or "")
    # a person may have made any number of pools
    return pool if pool in POOLS else "other"


def _flow(name: str) -> str:
    word = "retrain-all" if name.startswith("retrain all") else name.partition(" ")[0]
    return word if word in FLOW_NAMES else "other"


def _slots(run: Mapping[str, Any]) -> list[str]:
    given = run.get("parameters") or {}
    return [str(slot) for slot in (given.get("slot"), *(given.get("also") or ())) if slot]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def disk_is_low(figures: OperationFigures) -> bool:
    """Return whether less than 5 % or less than 1 GiB of the disk is free."""
    return figures.disk_free < max(0.05 * figures.disk_size, 2**30) if figures.disk_size else False


def watch_figures(
    workspace: Workspace,
    api: Callable[[], str],
    ends: Mapping[str, Ends],
    reported: set[str],
    send: Callable[[Alert], None],
) -> None:
    """Collect the figures; give `send` an alert once a day if the disk is almost full.

    `api` raises ServiceError if Prefect is down; `reported` keeps the ids of alerts that were made.
    """
    try:
        address = api()
    except OpsError:
        # the other figures are collected all the same
        address = ""
    figures = collect_figures(workspace, address, ends)
    if not disk_is_low(figures):
        return
    root, day = str(workspace.root), datetime.fromtimestamp(figures.at, UTC).date()
    reason = f"{figures.disk_free / 2**30:.1f} GiB are free"
    alert = operation_alert("elp.disk.low", f"{root} {day}", subject=root, reason=reason)
    if alert.id not in reported:
        reported.add(alert.id)
        send(alert)
