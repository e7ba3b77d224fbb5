"""The schedules of a workspace with their next and last runs, the last verdicts, and what was missed.

Hundreds of slots cost a handful of requests; Prefect is not imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from elp_core.errors import OpsError
from pipelines.local import accounts
from pipelines.local import http_client as web
from pipelines.local.addresses import mlflow_uri
from pipelines.local.schedule_settings import ScheduleEntry, entry_of
from pipelines.local.workspace import Workspace
from pipelines.orchestration.catch_up import missed_count
from pipelines.orchestration.prefect_api import deployment_name
from pipelines.orchestration.slot_deployments import (
    ALL,
    MONITOR,
    PAGE,
    DeploymentSchedule,
    SlotDeployment,
    flow_of,
    pages,
    read_slot_deployments,
    server_now,
)
from pipelines.prefect_names import MISSED
from pipelines.registry.slot import Slot

REMEMBERED_DAYS = 30
"""Missed starts that are older are not counted any more."""
_PAGES = 100
"""Most pages that are read: 20,000 runs, as many as 600 slots miss in 30 nights."""
_RETRAIN_ALL = "retrain-all"
_NEWEST = 3
"""So many pages of the newest runs of all slots are read, before those of the slots that have none among them."""


@dataclass(frozen=True)
class Schedule:
    """When a slot is retrained or monitored, and the result of its last run."""

    name: str
    """SITE/TASK, or ``all``."""
    cron: str
    timezone: str
    active: bool
    next_run: str
    """UTC, ISO 8601; empty while it is paused, or not planned yet."""
    deployment: str
    """Name of its deployment in Prefect."""
    deployment_id: str
    id: str
    entry: str = ""
    """Entry of `elp.yaml`; empty for a schedule that a person made."""
    last_run: str = ""
    """Start of the slot's newest run, UTC, ISO 8601; empty without one."""
    last_state: str = ""
    """State of that run."""
    verdict: str = ""
    """Outcome of the slot's newest verdict; empty without one, or if the registry did not answer."""
    missed: int = 0
    """Starts of the last 30 days that did not happen."""
    missed_since: str = ""
    """The first of them, UTC, ISO 8601."""
    flow: str = "retrain"
    """``retrain`` or ``monitor``."""


def read_schedules(workspace: Workspace, api: str, entries: Sequence[ScheduleEntry] = ()) -> list[Schedule]:
    """Return the workspace's schedules by name; `entries` are those that were applied. No answer raises OSError."""
    now = server_now(api)
    with ThreadPoolExecutor(3) as threads:
        verdicts = threads.submit(_verdicts, workspace)
        deployments = read_slot_deployments(workspace, api)
        scheduled = [one for one in deployments if one.schedules]
        last = threads.submit(_last_runs, workspace, api, {(one.slot, one.flow) for one in scheduled})
        missed = threads.submit(_missed, workspace, api, now) if scheduled else None
        planned = _next_of_persons(api, scheduled)
        facts = (last.result(), missed.result() if missed else {}, verdicts.result())
    found = [
        _schedule(now, deployment, each, entries, planned, *facts)
        for deployment in scheduled
        for each in deployment.schedules
    ]
    return sorted(found, key=lambda schedule: (schedule.name, schedule.flow != "retrain", schedule.entry))


def _schedule(
    now: datetime,
    deployment: SlotDeployment,
    given: DeploymentSchedule,
    entries: Sequence[ScheduleEntry],
    planned: Mapping[str, str],
    last: Mapping[tuple[str, str], Mapping[str, Any]],
    missed: Mapping[tuple[str, str], tuple[int, str]],
    verdicts: Mapping[str, str],
) -> Schedule:
    slot, key = deployment.slot, (deployment.slot, deployment.flow)
    entry = entry_of(entries, Slot.parse(slot), deployment.flow) if given.entry else None
    run, active = last.get(key, {}), given.active and not deployment.paused
    if given.starts is not None:
        following = next((_text(start) for start in given.starts if start > now), "")
    else:
        following = planned.get(deployment.id, "")
    of_slot = missed.get(key, (0, "")) if given.entry else (0, "")
    return Schedule(
        name=slot,
        # of an entry that was applied on another machine, only the dates are known
        cron=given.timing or (entry.cron if entry else "dates"),
        timezone=entry.timezone if entry else given.timezone,
        active=active,
        next_run=following if active else "",
        deployment=deployment.name,
        deployment_id=deployment.id,
        id=given.id,
        entry=given.entry,
        last_run=_moment(run.get("start_time") or run.get("expected_start_time")),
        last_state=str(run.get("state_name") or ""),
        verdict=verdicts.get(slot, "") if deployment.flow == "retrain" else "",
        missed=of_slot[0],
        missed_since=of_slot[1],
        flow=deployment.flow,
    )


def _last_runs(
    workspace: Workspace, api: str, keys: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return the newest run of each slot and flow that has begun.

    A slot that starts once a week is not among the newest hundreds: each further question names the slots that are
    left, and so finds at least one of them.
    """
    left = set(keys)
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    if not left:
        return found
    begun = {"start_time": {"is_null_": False}, "state": {"name": {"not_any_": [MISSED]}}}
    wanted = {
        "flow_runs": begun,
        "deployments": {"tags": {"all_": ["elp", deployment_name(workspace)]}},
        "flows": {"name": {"any_": ["retrain", _RETRAIN_ALL, *({MONITOR} & {flow for _, flow in left})]}},
        "sort": "START_TIME_DESC",
    }
    if _take(workspace, pages(api, "flow_runs/filter", wanted, _NEWEST), left, found) < _NEWEST * PAGE:
        return found
    for flow in sorted(set(map(_flow_name, left))):
        while slots := sorted(key[0] for key in left if _flow_name(key) == flow):
            tags = {} if flow == _RETRAIN_ALL else {"tags": {"any_": slots}}
            narrow = {**wanted, "flow_runs": begun | tags, "flows": {"name": {"any_": [flow]}}}
            before = len(left)
            if _take(workspace, pages(api, "flow_runs/filter", narrow, 1), left, found) < PAGE or len(left) == before:
                break
    return found


def _flow_name(key: tuple[str, str]) -> str:
    return _RETRAIN_ALL if key[0] == ALL else key[1]


def _take(
    workspace: Workspace,
    runs: Iterable[Mapping[str, Any]],
    left: set[tuple[str, str]],
    found: dict[tuple[str, str], Mapping[str, Any]],
) -> int:
    """Move the slots and flows of some runs, the newest first, from `left` to `found`; return how many were read."""
    read = 0
    for run in runs:
        read += 1
        key = str(run["parameters"].get("slot") or ALL), flow_of(run["tags"])
        if key in left and workspace.owns(run["parameters"].get("workspace")):
            found[key] = run
            left.discard(key)
        if not left:
            break
    return read


def _missed(workspace: Workspace, api: str, now: datetime) -> dict[tuple[str, str], tuple[int, str]]:
    """Return, by slot and flow, how many starts were missed lately, and the first of them."""
    since = (now - timedelta(days=REMEMBERED_DAYS)).isoformat()
    wanted = {
        "flow_runs": {"state": {"name": {"any_": [MISSED]}}, "expected_start_time": {"after_": since}},
        "deployments": {"tags": {"all_": ["elp", deployment_name(workspace)]}},
        "sort": "EXPECTED_START_TIME_DESC",
    }
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for run in pages(api, "flow_runs/filter", wanted, _PAGES):
        if workspace.owns(run["parameters"].get("workspace")):
            key = str(run["parameters"].get("slot") or ALL), flow_of(run["tags"])
            # newest first, so the last one of a slot is its first
            found[key] = (found.get(key, (0, ""))[0] + missed_count(run), _moment(run["expected_start_time"]))
    return found


def _next_of_persons(api: str, deployments: Sequence[SlotDeployment]) -> dict[str, str]:
    """Return the next planned run of each deployment with a schedule that a person made, by the deployment's id."""
    ids = [one.id for one in deployments if any(not schedule.entry for schedule in one.schedules)]
    if not ids:
        return {}
    wanted = {
        "flow_runs": {
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "deployment_id": {"any_": ids},
            "tags": {"all_": ["auto-scheduled"]},
        },
        "sort": "EXPECTED_START_TIME_ASC",
    }
    found: dict[str, str] = {}
    for run in pages(api, "flow_runs/filter", wanted, _PAGES):
        found.setdefault(str(run["deployment_id"]), _moment(run["expected_start_time"]))
        if len(found) == len(ids):
            break
    return found


def _verdicts(workspace: Workspace) -> dict[str, str]:
    try:
        address = mlflow_uri(workspace)
        login = accounts.service_login(workspace)
        found = web.request(f"{address}/elp/api/v1/last-verdicts", timeout=5.0, login=login)["verdicts"]
        return {str(each["slot"]): str(each["outcome"]) for each in found}
    except (OSError, ValueError, KeyError, TypeError, OpsError):
        # a registry that is down, or of another release: the schedules are shown all the same
        return {}


def _moment(text: str | None) -> str:
    return _text(datetime.fromisoformat(text)) if text else ""


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
