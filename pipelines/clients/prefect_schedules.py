"""Schedules on a deployment: one a slot, shown in Prefect's UI and fired by its scheduler."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.clients.prefect import call
from pipelines.errors import UsageError


@dataclass(frozen=True)
class Schedule:
    """When a slot is retrained."""

    name: str
    """SITE/TASK, or ``all``."""
    cron: str
    timezone: str
    active: bool
    next_run: str
    """UTC, ISO 8601; empty while it is paused."""
    id: str


def slug(name: str) -> str:
    """How a schedule is called inside Prefect; a task has no hyphen, so two slots never share one."""
    return name.replace("/", "-")


def read_schedules(api: str, deployment: Mapping[str, Any]) -> list[Schedule]:
    """The deployment's schedules by name."""
    upcoming = _upcoming(api, deployment["id"])
    found = [
        Schedule(
            name=raw["parameters"].get("slot", "all"),
            cron=raw["schedule"].get("cron") or _other(raw["schedule"]),
            timezone=raw["schedule"].get("timezone") or "UTC",
            active=raw["active"],
            next_run=upcoming.get(raw["parameters"].get("slot", "all"), "") if raw["active"] else "",
            id=raw["id"],
        )
        for raw in call(api, f"/deployments/{deployment['id']}/schedules")
    ]
    return sorted(found, key=lambda schedule: schedule.name)


def set_schedule(
    api: str, deployment: Mapping[str, Any], name: str, parameters: Mapping[str, Any], timing: Mapping[str, Any]
) -> None:
    """Make a schedule, or change the one of the same name.

    Args:
        api: Address of the Prefect API.
        deployment: Whose runs it starts.
        name: SITE/TASK, or ``all``.
        parameters: Of each run.
        timing: ``{"cron": ..., "timezone": ...}``, or ``{"interval": seconds}``.

    Raises:
        UsageError: where Prefect cannot read the timing, or the time zone is unknown.
    """
    zone = timing.get("timezone", "UTC")
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise UsageError(f"unknown time zone {zone!r}; expected a name such as Europe/Berlin or UTC") from error
    body = {"schedule": dict(timing), "active": True, "parameters": dict(parameters), "slug": slug(name)}
    present = {schedule.name: schedule.id for schedule in read_schedules(api, deployment)}
    path = f"/deployments/{deployment['id']}/schedules"
    if name in present:
        call(api, f"{path}/{present[name]}", body, "PATCH")
    else:
        call(api, path, [body])


def set_active(api: str, deployment: Mapping[str, Any], name: str, active: bool) -> None:
    """Pause or resume a schedule.

    Raises:
        UsageError: where there is none of this name.
    """
    schedule = _named(api, deployment, name)
    call(api, f"/deployments/{deployment['id']}/schedules/{schedule.id}", {"active": active}, "PATCH")


def remove_schedule(api: str, deployment: Mapping[str, Any], name: str) -> None:
    """Remove a schedule and the runs it had planned.

    Raises:
        UsageError: where there is none of this name.
    """
    schedule = _named(api, deployment, name)
    call(api, f"/deployments/{deployment['id']}/schedules/{schedule.id}", method="DELETE")


def _named(api: str, deployment: Mapping[str, Any], name: str) -> Schedule:
    every = read_schedules(api, deployment)
    for schedule in every:
        if schedule.name == name:
            return schedule
    known = ", ".join(schedule.name for schedule in every) or "none at all"
    raise UsageError(
        f"{name} has no schedule (there is: {known}); make one with: elp schedule {name} --cron '0 3 * * *'"
    )


def _upcoming(api: str, deployment_id: str) -> dict[str, str]:
    """Next planned start by slot."""
    query = {
        "deployments": {"id": {"any_": [deployment_id]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": 200,
    }
    found: dict[str, str] = {}
    for run in call(api, "/flow_runs/filter", query):
        if run.get("auto_scheduled"):
            found.setdefault(run["parameters"].get("slot", "all"), run["expected_start_time"])
    return found


def _other(schedule: Mapping[str, Any]) -> str:
    """A schedule that was made in the UI as an interval or a rule."""
    return f"every {schedule['interval']:.0f} s" if "interval" in schedule else str(schedule.get("rrule", ""))
