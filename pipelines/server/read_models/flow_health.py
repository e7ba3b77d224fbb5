"""The workers, and the runs that a person has to look at, as Prefect's REST API reports them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from elp_core.types import Seconds
from pipelines.local_hosts import LOCAL_HOSTS
from pipelines.prefect_names import BAD_ENDS, PREFECT_LOGIN
from pipelines.server.auth.prefect_rights import basic, shown_prefect

PREFECT_VARIABLE = "PREFECT_API_URL"
"""Address of Prefect's API; `elp up` sets it for the server, too."""
POOLS = ("elp-cpu", "elp-gpu")
FLOWS = ("ingest", "train", "gate", "retrain", "retrain-all", "monitor", "tune", "migrate")
DAYS = 7
"""Runs that ended earlier are not shown."""

_BAD = ("Late", *BAD_ENDS, "Refused", "Undecided")
_ENDED = (*_BAD, "Completed", "Alarm")
_WRAPPING = re.compile(r"^Flow run encountered an exception: (\w+: )?")
"""What Prefect writes before the message of an exception."""
_PAGE = 200  # Prefect gives no more at once
_PAGES = 5
_PATIENCE: Seconds = 1.0
_FRESH: Seconds = 5.0


@dataclass(frozen=True)
class FlowRun:
    """A flow run that did not end well and was not made good by a later one, or that waits for a worker."""

    name: str
    state: str
    """Late, Refused, Undecided, or one of `BAD_ENDS`."""
    reason: str
    at: str
    """When it started or should have started: UTC, ISO 8601."""
    href: str
    """Its page in Prefect."""


@dataclass(frozen=True)
class FlowHealth:
    """The state of Prefect as the console shows it."""

    runs: tuple[FlowRun, ...] = ()
    """Newest first."""
    idle_pools: tuple[str, ...] = ()
    """Work pools without a worker that reports."""
    unknown: str = ""
    """Why nothing is known; empty if Prefect answered."""
    address: str = ""
    """Of Prefect's pages."""


@dataclass
class _Answer:
    at: float = float("-inf")
    health: FlowHealth = field(default_factory=FlowHealth)


_last = _Answer()


def read_flow_health(now: datetime) -> FlowHealth:
    """Return what Prefect reports; the answer is kept for five seconds, so that a busy page does not ask each time."""
    if time.monotonic() - _last.at > _FRESH:
        _last.health, _last.at = _ask(os.environ.get(PREFECT_VARIABLE, ""), now), time.monotonic()
    return _last.health


def _ask(api: str, now: datetime) -> FlowHealth:
    import requests

    if not api:
        return FlowHealth(unknown=f"this server does not know Prefect: its environment has no {PREFECT_VARIABLE}")
    server = api.rstrip("/").removesuffix("/api")
    # by path alone, right under every name of this server
    pages = shown_prefect() or server
    try:
        with requests.Session() as session:
            # a proxy meant for the outside world must not be asked for this machine's own servers
            session.trust_env = urlsplit(api).hostname not in LOCAL_HOSTS
            if key := os.environ.get(PREFECT_LOGIN, ""):
                session.headers["Authorization"] = basic(key)
            pools = _post(session, f"{api}/work_pools/filter", {"work_pools": {"name": {"any_": list(POOLS)}}})
            runs = _ended_runs(session, api, now)
        ready = {pool["name"] for pool in pools if pool["status"] == "READY"}
        # a pool that does not exist has no worker either
        return FlowHealth(unresolved(runs, pages), tuple(sorted(set(POOLS) - ready)), "", pages)
    except requests.RequestException as error:
        return FlowHealth(unknown=f"Prefect at {server} does not answer ({type(error).__name__})", address=pages)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # another program at this address, or another release of Prefect: the rest of the page stays
        return FlowHealth(unknown=f"what answers at {server} is not Prefect ({type(error).__name__})", address=pages)


def _ended_runs(session: Any, api: str, now: datetime) -> list[dict[str, Any]]:
    since = (now - timedelta(days=DAYS)).astimezone(UTC).isoformat()
    wanted = {"state": {"name": {"any_": list(_ENDED)}}, "expected_start_time": {"after_": since}}
    body = {"flow_runs": wanted, "flows": {"name": {"any_": list(FLOWS)}}, "sort": "EXPECTED_START_TIME_DESC"}
    found: list[dict[str, Any]] = []
    for page in range(_PAGES):
        runs = _post(session, f"{api}/flow_runs/filter", {**body, "limit": _PAGE, "offset": page * _PAGE})
        found += runs
        if len(runs) < _PAGE:
            break
    return found


def unresolved(runs: Sequence[Mapping[str, Any]], pages: str) -> tuple[FlowRun, ...]:
    """Return those of Prefect's `runs` (newest first) that ended badly or wait, and no later run of the same name."""
    found, seen = [], set()
    for run in runs:
        if run["name"] in seen:
            continue
        # a run that only waits says nothing of an earlier failure
        if run["state_name"] != "Late":
            seen.add(run["name"])
        if run["state_name"] in _BAD:
            reason = _WRAPPING.sub("", (run.get("state") or {}).get("message") or "")
            at = run.get("start_time") or run.get("expected_start_time") or ""
            found.append(FlowRun(run["name"], run["state_name"], reason, at, f"{pages}/runs/flow-run/{run['id']}"))
    return tuple(found)


def _post(session: Any, url: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    answer = session.post(url, json=body, timeout=_PATIENCE)
    answer.raise_for_status()
    found = answer.json()
    if not isinstance(found, list):
        raise TypeError(f"{url} answered no list")
    return found
