"""State of the servers and workers, from the processes and from the servers, in a few milliseconds."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from elp_core.types import Seconds
from pipelines.errors import ServiceError
from pipelines.local import accounts
from pipelines.local import http_client as web
from pipelines.local.addresses import MLFLOW, PREFECT, Record, log_in_to_prefect, prefect_api, read_record
from pipelines.local.gpu_need import unserved_runs
from pipelines.local.prefect_request import prefect_request
from pipelines.local.processes import Process, alive
from pipelines.local.service_commands import POOLS, worker_name
from pipelines.local.supervision import GUARD, SUPERVISOR, WINDOW, Ends, read_ends
from pipelines.local.worker_plan import CPU_POOL, GPU_POOL
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.prefect_names import PREFECT_PATH

HAS_ENDED = "it has ended"
"""Begins what is said of a supervision that is started again."""


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
    kind: Literal["service"] = "service"


def service_status(workspace: Workspace, patience: Seconds = 2.0) -> list[ServiceStatus]:
    """Return the state of both servers, each pool's workers and the supervision; each has `patience` to answer."""
    record = read_record(workspace)
    servers = workspace.settings.servers
    log_in_to_prefect(workspace)
    api_base = servers.prefect_api.rstrip("/").removesuffix("/api")
    with ThreadPoolExecutor(4) as threads:
        mlflow = threads.submit(_server, record, MLFLOW, servers.mlflow_uri.rstrip("/"), "/health", patience)
        prefect = _server(record, PREFECT, api_base, "/api/health", patience)
        api = f"{prefect.address}/api" if prefect.state == "up" else ""
        if not api_base:
            prefect = _below_the_front(record, prefect)
        # the pools are asked while MLflow still answers
        pools = threads.map(lambda pool: _pool(record, pool, api, worker_name(workspace, pool)), POOLS)
        found = [mlflow.result(), prefect, *pools]
    ends = read_ends(workspace)
    found = [
        replace(one, detail=f"{ends[one.name].text}; {one.detail}" if one.detail else ends[one.name].text)
        if one.name in ends
        else one
        for one in found
    ]
    return [*found, _supervisor(record, ends)]


def override_lines(workspace: Workspace, mlflow: ServiceStatus, patience: Seconds = 2.0) -> list[str]:
    """Return one line for each override that is in force or asked for; none if the server does not answer."""
    if mlflow.state != "up":
        return []
    login = accounts.service_login(workspace)
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
    process = record.find(name)
    if elsewhere:
        up = web.answers(elsewhere + health, patience)
        found = ServiceStatus(name, "up" if up else "silent", elsewhere, detail="runs elsewhere (elp.yaml)")
    elif process is None:
        return ServiceStatus(name, "down", detail="start with: elp up")
    elif not alive(process):
        return ServiceStatus(name, "down", process.address, detail=f"it has ended; its log: {process.log}")
    else:
        up = web.answers(process.address + health, patience)
        detail = "" if up else f"does not answer; its log: {process.log}"
        state = "up" if up else "silent"
        found = ServiceStatus(name, state, process.address, process.pid, process.uptime, detail)
    if name != MLFLOW or not up:
        return found
    console = f"console: {found.address}/elp/"
    return replace(found, detail=f"{console}; {found.detail}" if found.detail else console)


def _below_the_front(record: Record, prefect: ServiceStatus) -> ServiceStatus:
    """Return the line with the address for people, and that for workers next to it."""
    mlflow = record.find(MLFLOW)
    if not (record.front and mlflow and prefect.address):
        return prefect
    own = f"for workers: {prefect.address}/api"
    detail = f"{own}; {prefect.detail}" if prefect.detail else own
    return replace(prefect, address=f"{mlflow.address}{PREFECT_PATH}/", detail=detail)


def _supervisor(record: Record, ends: Mapping[str, Ends]) -> ServiceStatus:
    process, guard = record.find(SUPERVISOR), record.find(GUARD)
    if process and alive(process):
        end = ends.get(GUARD)
        lost = f"its guard {end.text}" if guard and end and end.pid == guard.pid and end.too_often else ""
        return ServiceStatus(SUPERVISOR, "up", pid=process.pid, uptime=process.uptime, detail=lost)
    if process and guard and alive(guard):
        end = ends.get(SUPERVISOR)
        often = f" {count(len(end.times), 'time')} within {WINDOW / 60:.0f} minutes" if end and end.too_often else ""
        detail = f"{HAS_ENDED}{often}, and is started again; its log: {process.log}"
        return ServiceStatus(SUPERVISOR, "down", detail=detail)
    return ServiceStatus(SUPERVISOR, "down", detail="starts nothing again and sends no alerts; start it with: elp up")


def _pool(record: Record, pool: str, api: str, own: str) -> ServiceStatus:
    process = record.find(pool)
    running = process is not None and alive(process)
    found = ServiceStatus(pool, "silent" if running else "down")
    if process and running:
        found = replace(found, pid=process.pid, uptime=process.uptime)
    if not api:
        return replace(found, detail="Prefect does not answer")
    wanted = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}, "work_pools": {"name": {"any_": [pool]}}}
    try:
        workers = prefect_request(f"{api}/work_pools/{pool}/workers/filter", {})
        runs = prefect_request(f"{api}/flow_runs/count", wanted)
        now = web.date_of(f"{api}/health").timestamp()
    except OSError as error:
        return replace(found, detail=f"no such pool yet ({error})")
    online = [worker for worker in workers if worker["status"] == "ONLINE"]
    # Prefect shows a killed worker as online until several of its heartbeats are missing
    alive_workers = sum(worker["name"] != own for worker in online) + running
    last = max(map(_heartbeat, online), default=None)
    age = "" if last is None else f", last heartbeat {max(0.0, now - last):.0f} s ago"
    detail = f"{count(alive_workers, 'worker')}, {count(runs, 'run')} in progress{age}{_waiting(api, pool)}"
    return replace(found, state="up" if alive_workers else "down", detail=detail)


def examine_queues(workspace: Workspace) -> tuple[str, str, str]:
    """Return the finding of `elp doctor` about the runs that no worker can carry: outcome, detail and remedy."""
    try:
        api = prefect_api(workspace)
    except ServiceError:
        return "ok", "not asked: Prefect does not run", ""
    if found := _waiting(api, GPU_POOL):
        remedy = "start a worker whose GPU can carry it (elp worker), or set compute.gpu_memory of the slot lower"
    elif found := _waiting(api, CPU_POOL):
        remedy = "runs that need the folder of a workspace wait for the worker of its elp up: start it on that host"
    else:
        return "ok", "no run waits for a worker that there is not", ""
    return "warn", found.removeprefix("; "), remedy


def _waiting(api: str, pool: str) -> str:
    """Return a clause about the runs that no worker can carry; empty if there are none."""
    try:
        found = unserved_runs(api, pool)
    except OSError:
        # the line above says whether Prefect answers
        return ""
    return "".join(
        f"; {count(runs, 'run')} {'waits' if runs == 1 else 'wait'} in the queue {name}, which no worker takes from"
        for name, runs in found.items()
    )


def has_reported(api: str, process: Process, name: str) -> bool:
    """Return whether a local worker has reported to Prefect under its name since its process was started."""
    uptime = process.uptime
    try:
        workers = prefect_request(f"{api}/work_pools/{process.name}/workers/filter", {}, timeout=30.0)
        # of whole seconds, so the second may be over
        now = web.date_of(f"{api}/health", timeout=30.0).timestamp() + 1.0
    except OSError:
        return False
    # the worker of an earlier start has the same name: only a heartbeat since this one's start counts
    return any(worker["name"] == name and now - _heartbeat(worker) < uptime for worker in workers)


def _heartbeat(worker: dict[str, Any]) -> Seconds:
    """Return when a worker, as Prefect describes it, last reported: seconds since the epoch by the server's clock."""
    return datetime.fromisoformat(worker["last_heartbeat_time"]).timestamp()
