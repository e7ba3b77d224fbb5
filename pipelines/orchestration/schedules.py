"""Schedules: a deployment a scheduled slot, so that Prefect's UI shows, pauses and resumes each by itself.

One deployment with a schedule for each slot would be simpler, but Prefect 3.8 forgets a schedule's parameters when its
UI pauses it, and a run would no longer know its slot.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace
from pipelines.orchestration.prefect_api import call, deployment_name, find_deployment, refuse_foreign

ALL = "all"
"""Name of the schedule of `retrain-all`."""

_COPIED = (
    "entrypoint", "description", "work_pool_name", "parameter_openapi_schema", "enforce_parameter_schema",
    "job_variables", "flow_id",
)  # fmt: skip


@dataclass(frozen=True)
class Schedule:
    """When a slot is retrained."""

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


def read_schedules(api: str, workspace: Workspace) -> list[Schedule]:
    """The workspace's schedules by name."""
    found = []
    for deployment in _deployments(api, workspace):
        for raw in deployment["schedules"]:
            found.append(
                Schedule(
                    name=deployment["parameters"].get("slot", ALL),
                    cron=raw["schedule"].get("cron") or _other(raw["schedule"]),
                    timezone=raw["schedule"].get("timezone") or "UTC",
                    active=raw["active"],
                    next_run=_next_run(api, deployment["id"]) if raw["active"] else "",
                    deployment=deployment["name"],
                    deployment_id=deployment["id"],
                    id=raw["id"],
                )
            )
    return sorted(found, key=lambda schedule: schedule.name)


def set_schedule(api: str, workspace: Workspace, name: str, timing: Mapping[str, Any]) -> None:
    """Make a schedule, or change the one of the same name.

    Args:
        api: Address of the Prefect API.
        workspace: Whose slot it is.
        name: SITE/TASK, or ``all``.
        timing: ``{"cron": ..., "timezone": ...}``, or ``{"interval": seconds}``.

    Raises:
        UsageError: where Prefect cannot read the timing, or the time zone is unknown.
        ServiceError: where the workspace's deployments are not registered.
    """
    zone = timing.get("timezone", "UTC")
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"unknown time zone {zone!r}; expected a name such as Europe/Berlin or UTC") from error
    deployment = find_deployment(api, "retrain-all", workspace) if name == ALL else _of_slot(api, workspace, name)
    try:
        _send(api, deployment, {"schedule": dict(timing), "active": True})
    except UsageError as error:
        raise UsageError(f"{error}; expected minute hour day month weekday, such as '0 3 * * *'") from error


def _send(api: str, deployment: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """The deployment's one schedule, made or changed."""
    path, present = f"/deployments/{deployment['id']}/schedules", [raw["id"] for raw in deployment["schedules"]]
    if not present:
        call(api, path, [dict(body)])
        return
    call(api, f"{path}/{present[0]}", body, "PATCH")
    for surplus in present[1:]:
        call(api, f"{path}/{surplus}", method="DELETE")


def set_active(api: str, workspace: Workspace, name: str, active: bool) -> None:
    """Pause or resume a schedule.

    Raises:
        UsageError: where there is none of this name.
    """
    for schedule in _named(api, workspace, name):
        call(api, f"/deployments/{schedule.deployment_id}/schedules/{schedule.id}", {"active": active}, "PATCH")


def remove_schedule(api: str, workspace: Workspace, name: str) -> None:
    """Remove a schedule and the runs it had planned; the runs it has made stay on record.

    Raises:
        UsageError: where there is none of this name.
    """
    for schedule in _named(api, workspace, name):
        call(api, f"/deployments/{schedule.deployment_id}/schedules/{schedule.id}", method="DELETE")


def refresh(api: str, workspace: Workspace, base: Mapping[str, Any]) -> None:
    """Bring the deployments of the workspace's scheduled slots in line with the deployment they were copied from."""
    for deployment in _deployments(api, workspace):
        changed = {k: base[k] for k in _COPIED if k != "flow_id" and deployment.get(k) != base.get(k)}
        if changed and "slot" in deployment["parameters"]:
            call(api, f"/deployments/{deployment['id']}", changed, "PATCH")


def _of_slot(api: str, workspace: Workspace, slot: str) -> dict[str, Any]:
    """The deployment of one slot, made as a copy of the workspace's `retrain` with the slot filled in."""
    base = find_deployment(api, "retrain", workspace)
    # a site may hold hyphens and a task holds none: two slots never share a name
    name = f"{base['name']}-{slot.replace('/', '-')}"
    try:
        found: dict[str, Any] = call(api, f"/deployments/name/retrain/{name}")
    except LookupError:
        copied = {key: base[key] for key in _COPIED}
        about = {"parameters": {**base["parameters"], "slot": slot}, "tags": [*base["tags"], slot]}
        found = call(api, "/deployments/", {**copied, **about, "name": name})
    refuse_foreign(found, workspace)
    return found


def _deployments(api: str, workspace: Workspace) -> list[dict[str, Any]]:
    query = {
        "deployments": {"tags": {"all_": ["elp", deployment_name(workspace)]}},
        "flows": {"name": {"any_": ["retrain", "retrain-all"]}},
        "limit": 200,
    }
    every: list[dict[str, Any]] = []
    while page := call(api, "/deployments/filter", {**query, "offset": len(every)}):
        every += page
    return [d for d in every if d["parameters"].get("workspace") == str(workspace.root)]


def _named(api: str, workspace: Workspace, name: str) -> list[Schedule]:
    every = read_schedules(api, workspace)
    if found := [schedule for schedule in every if schedule.name == name]:
        return found
    known = ", ".join(sorted({schedule.name for schedule in every})) or "none at all"
    raise UsageError(
        f"{name} has no schedule (there is: {known}); make one with: elp schedule add {name} --cron '0 3 * * *'"
    )


def _next_run(api: str, deployment_id: str) -> str:
    query = {
        "deployments": {"id": {"any_": [deployment_id]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": 50,
    }
    runs = call(api, "/flow_runs/filter", query)
    return next((str(run["expected_start_time"]) for run in runs if run.get("auto_scheduled")), "")


def _other(schedule: Mapping[str, Any]) -> str:
    """A schedule that was made in the UI as an interval or a rule."""
    return f"every {schedule['interval']:.0f} s" if "interval" in schedule else str(schedule.get("rrule", ""))
