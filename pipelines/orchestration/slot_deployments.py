"""The deployments of single slots and their schedules, by Prefect's REST API: hundreds in a few requests.

It uses the standard library only, because the supervision makes them, too. A schedule of `elp.yaml` has a slug
``elp-<entry>`` and explicit dates; every other schedule is one that a person made.
"""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from elp_core.types import Seconds
from pipelines.errors import ServiceError, UsageError
from pipelines.local import http_client as web
from pipelines.local.prefect_request import prefect_request
from pipelines.local.workspace import Workspace
from pipelines.orchestration.prefect_api import deployment_name, require_owner
from pipelines.orchestration.schedule_plan import as_rrule, read_rrule
from pipelines.registry.slot import Slot

ALL = "all"
"""Name of the schedule of `retrain-all`."""
MONITOR = "monitor"
"""Name of the flow that looks at a site's audio."""
MONITOR_TAG = "flow:monitor"
"""Tag of its deployments, which their runs have, too; no name of a workspace has a colon."""
SLUG = "elp-"
"""Begin of the slug of a schedule of `elp.yaml`; the name of its entry follows."""
PAGE = 200
"""Most objects in one answer of Prefect."""
_PATIENCE: Seconds = 30.0
_BUSY: Seconds = 60.0
"""How long Prefect may be too busy."""
_COPIED = (
    "flow_id", "entrypoint", "description", "work_pool_name", "parameter_openapi_schema", "enforce_parameter_schema",
    "job_variables",
)  # fmt: skip
"""What the deployment of a slot has in common with that of the flow."""


@dataclass(frozen=True)
class DeploymentSchedule:
    """A schedule of a deployment."""

    id: str
    active: bool
    slug: str
    timing: str
    """The cron expression, an interval or a rule as text; empty for one of `elp.yaml`."""
    timezone: str
    starts: tuple[datetime, ...] | None
    """The dates of one of `elp.yaml`."""

    @property
    def entry(self) -> str:
        """The entry of `elp.yaml` that it is from; empty for the schedule of a person."""
        return self.slug.removeprefix(SLUG) if self.slug.startswith(SLUG) else ""


@dataclass(frozen=True)
class SlotDeployment:
    """The deployment that retrains or monitors one slot, or retrains all (`ALL`)."""

    id: str
    name: str
    slot: str
    paused: bool
    """Whether a person paused the whole deployment in Prefect."""
    schedules: tuple[DeploymentSchedule, ...]
    flow: str = "retrain"
    """Flow of its runs: ``retrain`` (also that of all slots) or ``monitor``."""

    @property
    def declared(self) -> tuple[DeploymentSchedule, ...]:
        """The schedules from `elp.yaml`: one, or several after two commands at the same time."""
        return tuple(schedule for schedule in self.schedules if schedule.entry)


@contextlib.contextmanager
def rest_errors(api: str) -> Iterator[None]:
    """Turn an OSError of a request into a UsageError if Prefect refused it (HTTP 409 or 422), else a ServiceError."""
    try:
        yield
    except urllib.error.HTTPError as error:
        if error.code in (409, 422):
            raise UsageError(f"Prefect refused the request: {error.reason}") from error
        raise ServiceError(f"Prefect at {api} failed with HTTP {error.code}: {error.reason}") from error
    except OSError as error:
        raise ServiceError(f"Prefect does not answer at {api} ({error}); look at: elp status") from error


def patient_request(url: str, body: Any = None, method: str | None = None, repeatable: bool = False) -> Any:
    """Send a request as `prefect_request` does; one for which Prefect is too busy is sent again for a minute.

    So is one without an answer in time, if it only reads or is `repeatable`: it may have been done, and may be done
    twice.
    """
    again = repeatable or body is None or url.endswith(("/filter", "/count"))
    ends = time.monotonic() + _BUSY
    while True:
        try:
            return prefect_request(url, body, _PATIENCE, method)
        except urllib.error.HTTPError as error:
            # with SQLite the server answers so while its planner writes; nothing was changed then
            if error.code not in (429, 503) or time.monotonic() > ends:
                raise
        except OSError as error:
            late = isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)
            if not (again and late) or time.monotonic() > ends:
                raise
        time.sleep(0.5)


def server_now(api: str) -> datetime:
    """Return the present moment by the clock of Prefect's server, in whole seconds: what is due is so by that one."""
    try:
        return web.date_of(f"{api}/health", _PATIENCE)
    except OSError:
        # the request that the moment is for says what is wrong
        return datetime.now(UTC).replace(microsecond=0)


def pages(api: str, route: str, body: Mapping[str, Any], most: int = 100) -> Iterator[dict[str, Any]]:
    """Yield what a filter route of Prefect answers, page after page, from at most `most` pages."""
    for page in range(most):
        found = patient_request(f"{api}/{route}", {**body, "limit": PAGE, "offset": page * PAGE})
        yield from found
        if len(found) < PAGE:
            return


def read_slot_deployments(workspace: Workspace, api: str) -> list[SlotDeployment]:
    """Return the workspace's deployments that a schedule can have, by slot. No answer raises OSError."""
    wanted = {
        "deployments": {"tags": {"all_": ["elp", deployment_name(workspace)]}},
        "flows": {"name": {"any_": ["retrain", "retrain-all", MONITOR]}},
        "sort": "NAME_ASC",
    }
    found = [
        SlotDeployment(
            id=str(raw["id"]),
            name=raw["name"],
            slot=str(raw["parameters"].get("slot") or ALL),
            paused=bool(raw.get("paused")),
            schedules=tuple(_schedule(each) for each in raw["schedules"]),
            flow=flow_of(raw["tags"]),
        )
        for raw in pages(api, "deployments/filter", wanted)
        # another workspace may have a folder of the same name, and so the same deployment name
        if workspace.owns(raw["parameters"].get("workspace"))
    ]
    return sorted(found, key=lambda deployment: (deployment.slot, deployment.name))


def flow_of(tags: Iterable[str]) -> str:
    """Return which flow a run or a deployment with these tags is of: ``monitor``, or else ``retrain``."""
    # the name of the flow is not in Prefect's answers about either
    return MONITOR if MONITOR_TAG in tags else "retrain"


def read_template(workspace: Workspace, api: str, flow: str) -> dict[str, Any]:
    """Return the deployment of a flow, of which those of slots are made.

    Raises ServiceError if it is not registered, or belongs to another workspace; no answer raises OSError.
    """
    name = deployment_name(workspace)
    try:
        found: dict[str, Any] = patient_request(f"{api}/deployments/name/{flow}/{name}")
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        raise ServiceError(f"Prefect at {api} has no deployment {flow}/{name}; register it with: elp up") from error
    require_owner(workspace, flow, name, str(found["parameters"].get("workspace", "")))
    return found


def make_deployment(
    api: str,
    template: Mapping[str, Any],
    slot: Slot,
    queue: str,
    entry: str,
    starts: Sequence[datetime],
    active: bool = True,
) -> None:
    """Make the deployment of a slot, whose runs wait in a work queue, with its schedule, in one request."""
    content = {
        **{key: template[key] for key in _COPIED},
        "name": slot_deployment_name(template["name"], slot),
        "work_queue_name": queue,
        "parameters": {**template["parameters"], "slot": str(slot)},
        "tags": [*template["tags"], str(slot)],
        "schedules": [{"active": active, **_content(entry, starts)}],
    }
    patient_request(f"{api}/deployments/", content, repeatable=True)


def slot_deployment_name(base: str, slot: Slot | str) -> str:
    """Return the name of a slot's deployment: a site may hold hyphens and a task holds none, so no two are equal."""
    return f"{base}-{str(slot).replace('/', '-')}"


def add_starts(
    api: str, deployment: SlotDeployment, entry: str, starts: Sequence[datetime], active: bool = True
) -> None:
    """Add a schedule of `elp.yaml` to a deployment."""
    content = {"active": active, **_content(entry, starts)}
    patient_request(f"{api}/deployments/{deployment.id}/schedules", [content])


def change_starts(
    api: str, deployment: SlotDeployment, schedule: DeploymentSchedule, entry: str, starts: Sequence[datetime]
) -> None:
    """Give a schedule other dates; one that is paused stays so. Prefect keeps the runs that are late."""
    begun = server_now(api).isoformat()
    # without `active`: Prefect then leaves it as it is
    content = _content(entry, starts)
    patient_request(f"{api}/deployments/{deployment.id}/schedules/{schedule.id}", content, "PATCH", repeatable=True)
    # Prefect has dropped the planned runs, and plans again within 15 s: a start in these would be lost
    patient_request(f"{api}/deployments/{deployment.id}/schedule", {"start_time": begun}, repeatable=True)


def delete_schedule(api: str, deployment: SlotDeployment, schedule: DeploymentSchedule) -> None:
    """Delete a schedule and the runs of it that have not begun."""
    try:
        patient_request(f"{api}/deployments/{deployment.id}/schedules/{schedule.id}", None, "DELETE")
    except urllib.error.HTTPError as error:
        # another command was first
        if error.code != 404:
            raise


def _content(entry: str, starts: Sequence[datetime]) -> dict[str, Any]:
    return {"schedule": {"rrule": as_rrule(starts), "timezone": "UTC"}, "slug": SLUG + entry}


def _schedule(raw: Mapping[str, Any]) -> DeploymentSchedule:
    timing = raw["schedule"]
    starts = read_rrule(timing.get("rrule") or "")
    if "interval" in timing:
        text = f"every {float(timing['interval']):.0f} s"
    else:
        text = str(timing.get("cron") or timing.get("rrule") or json.dumps(timing))
    return DeploymentSchedule(
        id=str(raw["id"]),
        active=bool(raw["active"]),
        slug=raw.get("slug") or "",
        timing="" if starts is not None else text,
        timezone=timing.get("timezone") or "UTC",
        starts=starts,
    )
