"""Starting and stopping the workspace's servers and workers."""

import contextlib
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from elp_core.types import Seconds
from pipelines.errors import ServiceError
from pipelines.local import accounts
from pipelines.local import http_client as web
from pipelines.local import service_commands as commands
from pipelines.local.addresses import (
    MLFLOW,
    PREFECT,
    Record,
    mlflow_uri,
    prefect_api,
    read_record,
    write_record,
)
from pipelines.local.chosen_ports import choose_port, last_port
from pipelines.local.interrupted_runs import STOPPED_BY_DOWN, mark_stopped
from pipelines.local.prefect_request import prefect_request
from pipelines.local.processes import Process, alive, listens, start, stop, stop_remains, tail
from pipelines.local.runs_in_progress import prefect_address, runs_of_workers
from pipelines.local.servers import server_address, server_command, shown_address
from pipelines.local.service_status import has_reported
from pipelines.local.supervision import SUPERVISOR, write_ends
from pipelines.local.worker_runs import forget_workers
from pipelines.local.workspace import Workspace
from pipelines.locks import file_lock
from pipelines.registry.signing.key_folder import ensure_keys
from pipelines.registry.signing.keys import ROLES, Role, key_folder

Log = Callable[[str], None]

START_SECONDS: Seconds = 300.0
"""How long a server may take to answer: a cold start takes 10 s, and minutes on a machine that is busy training."""

_HEALTH = {MLFLOW: "/health", PREFECT: "/api/health"}


def up(
    workspace: Workspace,
    register: Callable[[Workspace, str], None],
    *,
    auth: bool | None = None,
    free_ports: bool = False,
    log: Log = print,
) -> Record:
    """Start what is not running yet: MLflow, Prefect, then a worker for each pool; register the deployments.

    A workspace without keys gets its keys first; the key of the ledger only if it runs the MLflow server itself.
    Servers that run elsewhere (in `elp.yaml`) are used as they are. `register` registers the flows' deployments with
    the Prefect API at an address; `auth` None keeps the last choice of a login, at first no.

    Raises ServiceError if a port is taken or a service does not come up; what this call started is stopped again.
    """
    with _one_at_a_time(workspace, log):
        ensure_keys(key_folder(workspace.state), roles_here(workspace))
        before = read_record(workspace)
        for dead in (p for p in before.processes if p.address and not alive(p)):
            # the children of a server that was killed keep its port
            stop_remains(dead)
        record = _with_login(workspace, _living(before), auth, log)
        begun: list[Process] = []
        try:
            record = _start_servers(workspace, record, begun, free_ports, log)
            api = prefect_api(workspace)
            _wait(workspace, record, begun, PREFECT, log)
            register(workspace, api)
            log("deployments registered")
            record = _start_workers(workspace, record, begun, api, log)
            _wait(workspace, record, begun, MLFLOW, log)
            _wait_for_workers(workspace, record, api, log)
            record = _start_supervision(workspace, record, begun, api, log)
        # Ctrl-C too: nobody would stop what this call has started
        except BaseException:
            stop(begun)
            write_record(workspace, _living(record))
            raise
        mlflow_uri(workspace)
        return record


def down(workspace: Workspace, log: Log = print, message: str = STOPPED_BY_DOWN) -> list[Process]:
    """Stop what `elp up` started in this workspace, and nothing else; return the processes that were running.

    Data and records stay. Flow runs in progress end as Crashed with `message`; started again, they continue at the step
    they had reached.
    """
    with _one_at_a_time(workspace, log):
        record = read_record(workspace)
        supervision = [p for p in record.processes if p.name in commands.SUPERVISION]
        workers = [p for p in record.processes if not p.address and p.name not in commands.SUPERVISION]
        servers = [p for p in record.processes if p.address]
        ended = [p for p in record.processes if not alive(p)]
        # first, or it would start the others again; alone, since those that it has started again are its children
        stopped = stop(supervision, alone=True)
        interrupted = runs_of_workers(workspace, record, log)
        stopped += stop(workers)
        # what has ended before may have left runs and the children of servers
        for process in ended:
            stop_remains(process)
        # after the workers, whose own report would overwrite the state, and before the server that keeps it
        mark_stopped(prefect_address(record), interrupted, message, log)
        if elsewhere := workspace.settings.servers.prefect_api:
            ours = [(process.name, commands.worker_name(workspace, process.name)) for process in workers]
            forget_workers(elsewhere.rstrip("/"), ours, log)
        stopped += stop(servers)
        write_record(workspace, replace(record, processes=()))
    for process in stopped:
        log(f"{process.name} stopped")
    return stopped


def start_again(workspace: Workspace, dead: Process, log: Log) -> Process | None:
    """Start one ended process of the record again, at its former address; None if something else changed the record.

    What it left behind is killed first. This function does not wait until it answers.
    """
    try:
        with file_lock(workspace.state / "servers.lock", wait=0):
            record = read_record(workspace)
            if record.find(dead.name) != dead or alive(dead):
                return None
            stop_remains(dead)
            rest = replace(record, processes=tuple(p for p in record.processes if p != dead))
            prefect = record.find(PREFECT)
            # Prefect may have ended, too: its address stays
            api = workspace.settings.servers.prefect_api.rstrip("/") or f"{prefect.address if prefect else ''}/api"
            if dead.address:
                command, environment = server_command(workspace, record, dead.name, api, record.ports[dead.name])
            else:
                command, environment = commands.process_command(workspace, dead.name, api)
            started = _start(workspace, rest, [], dead.name, command, environment, dead.address).find(dead.name)
            log(f"{dead.name} had ended and was started again")
            return started
    except TimeoutError:
        # elp up or down is at work
        return None


def _with_login(workspace: Workspace, record: Record, auth: bool | None, log: Log) -> Record:
    """Return the record with the login on or off as wanted; make the accounts if it is on."""
    wanted = record.auth if auth is None else auth
    if auth and workspace.settings.servers.mlflow_uri:
        raise ServiceError(
            "MLflow runs elsewhere (servers.mlflow_uri in elp.yaml), and its login is switched on there; "
            "see docs/how-to/access.md"
        )
    running = record.find(MLFLOW) or (record.front and record.find(PREFECT))
    if wanted != record.auth and running:
        raise ServiceError(
            f"{running.name} runs {'with' if record.auth else 'without'} a login now; run: elp down, then: "
            f"elp up --{'auth' if wanted else 'no-auth'}"
        )
    if wanted and (admin := accounts.create(workspace)):
        log(f"first administrator: {admin.name}, password: {admin.password} (shown once; kept in .elp/auth/)")
    return replace(record, auth=wanted)


def roles_here(workspace: Workspace) -> tuple[Role, ...]:
    """Return the roles for which the workspace's processes sign; the ledger's key is where the MLflow server runs."""
    return tuple(role for role in ROLES if role != "ledger" or not workspace.settings.servers.mlflow_uri)


def _start_servers(workspace: Workspace, record: Record, begun: list[Process], free_ports: bool, log: Log) -> Record:
    servers = workspace.settings.servers
    wanted = {
        MLFLOW: (servers.mlflow_uri, servers.mlflow_port),
        PREFECT: (servers.prefect_api, servers.prefect_port),
    }
    # all ports are settled before anything is started
    ports = {
        name: choose_port(name, servers.host, port, last_port(record, name, port), free_ports)
        for name, (elsewhere, port) in wanted.items()
        if not elsewhere and record.find(name) is None
    }
    # both servers know it: the console shows the state of the flow runs
    api = f"{server_address(servers.host, ports[PREFECT])}/api" if PREFECT in ports else prefect_api(workspace)
    # servers that run already keep the addresses that they were started with
    own = not (servers.mlflow_uri or servers.prefect_api)
    record = replace(record, front=own and (record.front or len(ports) == len(wanted)))
    for name, port in ports.items():
        command, environment = server_command(workspace, record, name, api, port)
        address = server_address(servers.host, port)
        configured = {**record.configured, name: wanted[name][1]}
        record = replace(record, ports={**record.ports, name: port}, configured=configured)
        record = _start(workspace, record, begun, name, command, environment, address)
        log(f"{name} starting at {shown_address(record, name, address)}")
    return record


def _start_workers(workspace: Workspace, record: Record, begun: list[Process], api: str, log: Log) -> Record:
    for pool in commands.local_pools(workspace):
        if record.find(pool) is not None:
            continue
        if kind := _other_type(api, pool):
            # a process worker would take its runs, and start them with the settings of another kind of worker
            log(f"{pool} is a pool of type {kind}: its runs are started by a worker of that type, not here")
        else:
            record = _start(workspace, record, begun, pool, *commands.process_command(workspace, pool, api))
            log(f"worker of {pool} starting")
    return record


def _other_type(api: str, pool: str) -> str:
    """Return the type of a pool that needs other workers than processes, such as kubernetes; empty if it is process."""
    try:
        found = str(prefect_request(f"{api}/work_pools/{pool}", timeout=30.0)["type"])
    except OSError:
        # the worker itself waits for the server
        return ""
    return "" if found == "process" else found


def _start_supervision(workspace: Workspace, record: Record, begun: list[Process], api: str, log: Log) -> Record:
    if missing := [name for name in commands.SUPERVISION if record.find(name) is None]:
        log("supervision starting")
    if SUPERVISOR in missing:
        write_ends(workspace, {})  # started by a person, systemd or compose: it begins a new count
    for name in missing:
        record = _start(workspace, record, begun, name, *commands.process_command(workspace, name, api))
    return record


def _start(
    workspace: Workspace,
    record: Record,
    begun: list[Process],
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    address: str = "",
) -> Record:
    process = start(name, command, environment, workspace.state / "logs" / f"{name}.log", address)
    begun.append(process)
    record = replace(record, processes=(*record.processes, process))
    # recorded at once: `elp down` must find it even if this program is killed now
    write_record(workspace, record)
    return record


def _wait(workspace: Workspace, record: Record, begun: list[Process], name: str, log: Log) -> None:
    """Wait until a server answers; a server that runs elsewhere is asked once."""
    process = record.find(name)
    if process is None:
        address = mlflow_uri(workspace) if name == MLFLOW else prefect_api(workspace).removesuffix("/api")
        if not web.answers(address + _HEALTH[name], timeout=10.0):
            raise ServiceError(f"the {name} server at {address} (set in elp.yaml) does not answer")
        return
    _wait_until(
        process,
        # another workspace that starts at the same time may have taken the port: its server answers too
        lambda: web.answers(process.address + _HEALTH[name]) and listens(process, record.ports[name]),
        f"{name} does not answer after {START_SECONDS:.0f} s",
        time.monotonic(),
    )
    if process in begun:
        log(f"{name} is up at {shown_address(record, name, process.address)} ({process.uptime:.1f} s)")


def _wait_for_workers(workspace: Workspace, record: Record, api: str, log: Log) -> None:
    """Wait until each local worker has reported to Prefect."""
    started = time.monotonic()
    for process in (p for p in record.processes if p.name in commands.POOLS):
        ready = functools.partial(has_reported, api, process, commands.worker_name(workspace, process.name))
        _wait_until(process, ready, f"the worker of {process.name} does not report", started)
        log(f"worker of {process.name} is ready")


def _wait_until(process: Process, ready: Callable[[], bool], fault: str, started: float) -> None:
    while not ready():
        if not alive(process):
            raise ServiceError(f"{process.name} ended while it started; the end of {process.log}:\n{tail(process.log)}")
        if time.monotonic() - started > START_SECONDS:
            raise ServiceError(f"{fault}; its log: {process.log}")
        time.sleep(0.2)


def _living(record: Record) -> Record:
    return replace(record, processes=tuple(p for p in record.processes if alive(p)))


def _one_at_a_time(workspace: Workspace, log: Log) -> contextlib.AbstractContextManager[None]:
    """Hold the workspace's lock: two `elp up` at once would start everything twice."""
    message = "another elp up or down is running in this workspace; waiting for it"
    return file_lock(workspace.state / "servers.lock", when_taken=lambda: log(message))
