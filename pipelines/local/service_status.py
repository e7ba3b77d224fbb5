"""State of the servers and workers, from the processes and from the servers, in a few milliseconds."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from elp_core.types import Seconds
from pipelines.local import accounts
from pipelines.local import http_client as web
from pipelines.local.addresses import MLFLOW, PREFECT, Record, read_record
from pipelines.local.processes import alive, uptime
from pipelines.local.service_commands import POOLS
from pipelines.local.workspace import Workspace
from pipelines.registry.client.connection import PASSWORD, USERNAME, Account


@dataclass(frozen=True)
class ServiceStatus:
    """One line of `elp status`."""

    name: str
    state: str
    """``up``, ``down``, or ``silent`` (the process runs, or should run, but does not answer)."""
    address: str = ""
    pid: int | None = None
    uptime: Seconds | None = None
    detail: str = ""


def service_status(workspace: Workspace, patience: Seconds = 2.0) -> list[ServiceStatus]:
    """Return the state of both servers and of each pool's workers; each has `patience` to answer."""
    record = read_record(workspace)
    servers = workspace.settings.servers
    api_base = servers.prefect_api.rstrip("/").removesuffix("/api")
    with ThreadPoolExecutor(4) as threads:
        mlflow = threads.submit(_server, record, MLFLOW, servers.mlflow_uri.rstrip("/"), "/health", patience)
        prefect = threads.submit(_server, record, PREFECT, api_base, "/api/health", patience)
        up = prefect.result()
        api = f"{up.address}/api" if up.state == "up" else ""
        pools = [threads.submit(_pool, record, pool, api) for pool in POOLS]
        return [_with_console(mlflow.result()), up, *(pool.result() for pool in pools)]


def override_lines(workspace: Workspace, mlflow: ServiceStatus, patience: Seconds = 2.0) -> list[str]:
    """Return one line for each override that is in force or asked for; none if the server does not answer."""
    if mlflow.state != "up":
        return []
    given, own = os.environ.get(USERNAME), not workspace.settings.servers.mlflow_uri
    account = accounts.service(workspace) if own else None
    if given:
        account = Account(given, os.environ.get(PASSWORD, ""))
    login = (account.name, account.password) if account else None
    try:
        found = web.request(f"{mlflow.address}/elp/api/v1/overrides", timeout=patience, login=login)["overrides"]
    except (OSError, ValueError, KeyError):
        # a server without our guard, or with another login: `elp status` shows the rest
        return []
    return [_override(each) for each in found]


def _override(found: dict[str, Any]) -> str:
    name = f"{found['slot']} v{found['version']}"
    if not found["in_force"]:
        return f"{name}: override asked for by {found['asked_by']}, waits for: elp approve {found['slot']}"
    return (
        f"{name}: OVERRIDE until {found['until'][:16]} UTC, asked by {found['asked_by']}, approved by "
        f"{found['approved_by']}: {found['reason']}"
    )


def _server(record: Record, name: str, elsewhere: str, health: str, patience: Seconds) -> ServiceStatus:
    if elsewhere:
        answered = web.answers(elsewhere + health, patience)
        return ServiceStatus(name, "up" if answered else "silent", elsewhere, detail="runs elsewhere (elp.yaml)")
    process = record.find(name)
    if process is None:
        return ServiceStatus(name, "down", detail="start with: elp up")
    if not alive(process):
        return ServiceStatus(name, "down", process.address, detail=f"it has ended; its log: {process.log}")
    answered = web.answers(process.address + health, patience)
    detail = "" if answered else f"does not answer; its log: {process.log}"
    return ServiceStatus(name, "up" if answered else "silent", process.address, process.pid, uptime(process), detail)


def _with_console(mlflow: ServiceStatus) -> ServiceStatus:
    """Add the address of the console, whose pages the same server has."""
    if mlflow.state != "up":
        return mlflow
    text = f"console: {mlflow.address}/elp/"
    return replace(mlflow, detail=f"{text}; {mlflow.detail}" if mlflow.detail else text)


def _pool(record: Record, pool: str, api: str) -> ServiceStatus:
    process = record.find(pool)
    running = process is not None and alive(process)
    pid, age = (process.pid, uptime(process)) if process and running else (None, None)
    if not api:
        return ServiceStatus(pool, "silent" if running else "down", "", pid, age, "Prefect does not answer")
    try:
        workers = web.request(f"{api}/work_pools/{pool}/workers/filter", {})
        runs = web.request(
            f"{api}/flow_runs/count",
            {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}, "work_pools": {"name": {"any_": [pool]}}},
        )
    except OSError as error:
        return ServiceStatus(pool, "silent" if running else "down", "", pid, age, f"no such pool yet ({error})")
    online = [w for w in workers if w["status"] == "ONLINE"]
    beat = min((_age(w) for w in online), default=None)
    heard = f", last heartbeat {beat:.0f} s ago" if beat is not None else ""
    # Prefect shows a killed worker as online until several of its heartbeats are missing
    remote = [w for w in online if w["name"] != f"{pool}-local"]
    state = "up" if running or remote else "down"
    count = len(remote) + running
    return ServiceStatus(pool, state, "", pid, age, f"{count} worker(s), {runs} run(s) in progress{heard}")


def _age(worker: dict[str, Any]) -> Seconds:
    beat = datetime.fromisoformat(worker["last_heartbeat_time"].replace("Z", "+00:00"))
    return max(0.0, (datetime.now(UTC) - beat).total_seconds())
