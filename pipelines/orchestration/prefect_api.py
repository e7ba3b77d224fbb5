"""Prefect's REST API as the command line needs it: deployments, runs and what came of them.

Plain requests: importing Prefect's own client costs more than a second. Every function takes the API's address, which
ends in ``/api``.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from elp_core.types import Seconds
from pipelines.errors import ServiceError, UsageError
from pipelines.local import http_client as web
from pipelines.local.workspace import Workspace

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
"""Types of state in which a run has ended."""

REFUSED = "Refused"
"""Name of the completed state of a run whose adapter the gate did not pass."""

_BUSY_DELAYS: tuple[Seconds, ...] = (0.3, 1.0, 2.0, 5.0, 10.0)
"""Pauses before a request is made again where Prefect's database was busy."""

LEVELS = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}


@dataclass(frozen=True)
class FlowRun:
    """A run of a flow, as Prefect tells it."""

    id: str
    name: str
    state: str
    """Name of the state, such as Running, Completed or Refused."""
    state_type: str
    message: str
    url: str
    """Its page in the UI."""
    started: str = ""
    seconds: float = 0.0
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether it has come to an end, good or bad."""
        return self.state_type in FINAL


@dataclass(frozen=True)
class LogLine:
    """One line of a run's log."""

    level: str
    message: str


def deployment_name(workspace: Workspace) -> str:
    """Name of a workspace's deployments, made of its folder's name."""
    return re.sub(r"[^a-z0-9-]+", "-", workspace.root.name.lower()).strip("-") or "elp"


def call(api: str, path: str, body: Any = None, method: str = "") -> Any:
    """One request to Prefect; where its database is busy (HTTP 429, 503) it is made again, as Prefect's client does.

    Raises:
        ServiceError: where Prefect does not answer or fails.
        UsageError: where it refuses what it was given (HTTP 409 or 422).
        LookupError: where the thing asked for is not there (HTTP 404).
    """
    for delay in (*_BUSY_DELAYS, None):
        try:
            return web.request(f"{api}{path}", body, method, timeout=60.0)
        except urllib.error.HTTPError as error:
            if delay is None or error.code not in (429, 503):
                raise _translate(api, path, error) from error
            time.sleep(delay)
        except OSError as error:
            raise ServiceError(f"Prefect does not answer at {api} ({error}); look at: elp status") from error
    raise AssertionError("the last try returns or raises")


def find_deployment(api: str, flow: str, workspace: Workspace) -> dict[str, Any]:
    """The workspace's deployment of a flow.

    Raises:
        ServiceError: where it is not registered, or belongs to another workspace of the same folder name.
    """
    name = deployment_name(workspace)
    try:
        found: dict[str, Any] = call(api, f"/deployments/name/{flow}/{name}")
    except LookupError as error:
        raise ServiceError(f"Prefect at {api} has no deployment {flow}/{name}; register it with: elp up") from error
    refuse_foreign(found, workspace)
    return found


def refuse_foreign(deployment: Mapping[str, Any], workspace: Workspace) -> None:
    """Refuse a deployment that runs on another workspace: two folders of one name share a Prefect server.

    Raises:
        ServiceError: naming both folders.
    """
    owner = deployment["parameters"].get("workspace", str(workspace.root))
    if owner != str(workspace.root):
        raise ServiceError(
            f"deployment {deployment['name']} on this Prefect server belongs to the workspace {owner}, not to "
            f"{workspace.root}; rename one of the folders, or give each a Prefect server of its own"
        )


def run_name(flow: str, slots: Sequence[str]) -> str:
    """Name of a flow's run for its slots: the first one, and how many more there are."""
    first, *more = dict.fromkeys(slots)
    return f"{flow} {first} + {len(more)} more" if more else f"{flow} {first}"


def start_run(
    api: str, deployment: Mapping[str, Any], parameters: Mapping[str, Any], name: str, tags: Sequence[str] = ()
) -> FlowRun:
    """Ask for a run of a deployment now."""
    body = {"parameters": dict(parameters), "name": name, "tags": list(tags), "state": {"type": "SCHEDULED"}}
    return _flow_run(api, call(api, f"/deployments/{deployment['id']}/create_flow_run", body))


def read_run(api: str, run_id: str) -> FlowRun:
    """A run as it stands now."""
    return _flow_run(api, call(api, f"/flow_runs/{run_id}"))


def read_logs(api: str, run_id: str, after: int = 0) -> list[LogLine]:
    """Lines of a run's log from number `after` on, oldest first, 200 at most."""
    query = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC", "offset": after, "limit": 200}
    return [LogLine(LEVELS.get(e["level"], "info"), e["message"]) for e in call(api, "/logs/filter", query)]


def read_outcome(api: str, run_id: str) -> dict[str, Any]:
    """Return the outcome that a run published (see `pipelines.orchestration.artifacts`), empty if there is none."""
    query = {
        "artifacts": {"flow_run_id": {"any_": [run_id]}, "key": {"like_": "outcome-%"}, "type": {"any_": ["table"]}},
        "sort": "CREATED_DESC",
        "limit": 1,
    }
    for artifact in call(api, "/artifacts/filter", query):
        data = artifact["data"]
        rows = json.loads(data) if isinstance(data, str) else data
        return {row["what"]: row["value"] for row in rows}
    return {}


def workers_online(api: str, pool: str) -> int:
    """Workers of a pool that Prefect has heard of lately."""
    try:
        return sum(w["status"] == "ONLINE" for w in call(api, f"/work_pools/{pool}/workers/filter", {}))
    except LookupError:
        return 0


def _translate(api: str, path: str, error: urllib.error.HTTPError) -> Exception:
    text = error.read().decode(errors="replace")
    if error.code == 404:
        return LookupError(f"Prefect has no {path}")
    if error.code in (409, 422):
        return UsageError(f"Prefect refused the request: {_detail(text)}")
    return ServiceError(f"Prefect at {api} failed with HTTP {error.code}: {_detail(text)}")


def _flow_run(api: str, raw: Mapping[str, Any]) -> FlowRun:
    state = raw.get("state") or {}
    return FlowRun(
        id=raw["id"],
        name=raw["name"],
        state=state.get("name") or "Pending",
        state_type=state.get("type") or "PENDING",
        message=state.get("message") or "",
        url=f"{api.removesuffix('/api')}/runs/flow-run/{raw['id']}",
        started=raw.get("start_time") or "",
        seconds=float(raw.get("total_run_time") or 0.0),
        parameters=raw.get("parameters") or {},
    )


def _detail(text: str) -> str:
    """The reason in an error answer, whatever shape it has."""
    try:
        detail = json.loads(text)
    except ValueError:
        return text[:500]
    if isinstance(detail, dict):
        detail = detail.get("exception_detail") or detail.get("detail") or detail.get("exception_message") or detail
    if isinstance(detail, list):
        # one value that fits none of several kinds fails once for each: what it is, not what it lacks, is the reason
        said = [d for d in detail if isinstance(d, dict) and d.get("type") == "value_error"]
        detail = said or detail
        return "; ".join(str(d.get("msg", d)) if isinstance(d, dict) else str(d) for d in detail)[:500]
    return str(detail)[:500]
