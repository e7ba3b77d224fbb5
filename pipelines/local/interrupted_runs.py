"""Flow runs and the processes of this machine: which run has lost its process or its worker; what `elp down` ends."""

import enum
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import psutil

from elp_core.types import Seconds
from pipelines.local.addresses import Record
from pipelines.local.prefect_request import prefect_request
from pipelines.local.processes import alive, every_process
from pipelines.local.service_commands import POOLS, worker_name
from pipelines.local.workspace import Workspace

Log = Callable[[str], None]

STOPPED_BY_DOWN = "stopped by elp down; run it again, it continues at the step it had reached"
"""Message of a run that `elp down` ended. It is not started again automatically."""

STOPPED_WITH_SERVICE = "stopped with its service; it is started again with it, at the step it had reached"
"""Message of a run that ended because `elp up --foreground` was ended, as at a restart of the machine."""

_RUN_ID = "PREFECT__FLOW_RUN_ID"
"""Environment variable with the id of the run that a process executes."""
_ENDING: Seconds = 0.5
"""How long a process may take to end on its own, before it counts as left behind."""
_LED = re.compile(r"in the process of flow run ([0-9a-f-]{36}) in state ([0-9a-f-]{36})")


class Presence(enum.Enum):
    """What this machine says about the process of a run."""

    HERE = "here"
    """Its process exists, whether it works or is stopped."""
    GONE = "gone"
    """A worker of this machine had it, and its process does not exist."""
    ELSEWHERE = "elsewhere"
    """A worker of another machine has it, or none yet."""


def mark_stopped(api: str, runs: Iterable[Mapping[str, Any]], message: str, log: Log) -> None:
    """Mark runs whose processes were stopped as crashed; Prefect would show them as running for ever.

    A run that its worker has reported as crashed gets the message, too. One that ended otherwise is left alone.
    """
    try:
        for run in runs:
            present = prefect_request(f"{api}/flow_runs/{run['id']}")
            if present["state_type"] in ("COMPLETED", "FAILED", "CANCELLED"):
                continue
            # forced: Prefect refuses a crash of a run that has crashed
            state = {"state": {"type": "CRASHED", "message": message}, "force": True}
            prefect_request(f"{api}/flow_runs/{run['id']}/set_state", state)
            log(f"flow run {run['name']} was in progress and is marked as crashed")
    except OSError as error:
        log(f"the interrupted flow runs could not be marked in Prefect: {error}")


def local_workers(workspace: Workspace, record: Record) -> dict[str, int]:
    """Return the process id of each worker of `elp up`, by its name in Prefect; 0 if it does not run."""
    workers = {worker_name(workspace, pool): record.find(pool) for pool in POOLS}
    return {name: worker.pid if worker and alive(worker) else 0 for name, worker in workers.items()}


def find_processes(runs: Collection[Mapping[str, Any]], workers: Mapping[str, int], log: Log) -> dict[str, Presence]:
    """Return what this machine says about the process of each run, by the run's id.

    `workers` are the process ids of this machine's workers, by name. A run continues without its worker, but nobody can
    cancel it then, and a new worker starts the next run next to it: such a process is killed here. The same happens to
    processes that are left of a run whose first process has ended. A run that is executed in the process of another one
    is where that one is; it is gone as soon as the other one has another state.
    """
    led = {str(run["id"]): leader for run in runs if (leader := led_by(run))}
    ours = {str(run["id"]): run for run in runs if worker_of(run) in workers and str(run["id"]) not in led}
    found = {str(run["id"]): Presence.ELSEWHERE for run in runs}
    processes = _processes(ours) if ours else {}
    for name, run in ours.items():
        members, worker = processes.get(name, []), workers[worker_of(run)]
        if any(_descends(member, worker) for member in members) or (not members and _hidden(run, worker)):
            found[name] = Presence.HERE
        else:
            found[name] = Presence.GONE
            if kill(members):
                log(f"flow run {run['name']} had lost its worker or its first process; what was left is ended")
    by_id = {str(run["id"]): run for run in runs}
    for name, (first, state) in led.items():
        lost = first not in by_id or not _leads_still(by_id[first], state)
        found[name] = Presence.GONE if lost else found[first]
    return found


def leading_text(run: Mapping[str, Any]) -> str:
    """Return what marks a run that the process of this one executes, too: the message of its Pending, then its PID."""
    return f"in the process of flow run {run['id']} in state {run['state']['id']}"


def led_by(run: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the run in whose process a run is executed, and its state at that time; None if it has its own process."""
    # the message is set with the state, the PID of a run that a worker has taken since then soon afterwards
    pending = run["state"]["type"] == "PENDING"
    found = _LED.fullmatch(str((run["state"].get("message") if pending else run.get("infrastructure_pid")) or ""))
    return (found[1], found[2]) if found else None


def _leads_still(leader: Mapping[str, Any], state: str) -> bool:
    # while it is cancelled its process may live
    return str(leader["state"]["id"]) == state or leader["state"]["type"] == "CANCELLING"


def worker_of(run: Mapping[str, Any]) -> str:
    """Return the name of the worker that took a run last; empty if none has."""
    return str((run.get("labels") or {}).get("prefect.worker.name") or "")


def kill(members: Collection[psutil.Process]) -> bool:
    """Kill processes and their children, and wait until they are gone; return whether one of them was still at work.

    One that has ended since it was found, or ends on its own now, was not.
    """
    # the processes of a run that has just ended need a moment
    psutil.wait_procs(members, timeout=_ENDING)
    family = set(filter(_at_work, members))
    for member in tuple(family):
        try:
            family.update(member.children(recursive=True))
        except psutil.NoSuchProcess:
            # it has ended in between
            continue
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=5.0)
    return bool(family)


def _at_work(process: psutil.Process) -> bool:
    try:
        # a zombie waits for its parent
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _processes(runs: Mapping[str, Any]) -> dict[str, list[psutil.Process]]:
    """Return the processes on this machine that execute one of the runs, or work for one that does, by its id."""
    found: dict[str, list[psutil.Process]] = {}
    for process in every_process():
        try:
            run = process.environ().get(_RUN_ID, "")
            if run in runs and process.status() != psutil.STATUS_ZOMBIE:
                found.setdefault(run, []).append(process)
        except (psutil.Error, OSError):
            # another user's, or one that has just ended
            continue
    return found


def _hidden(run: Mapping[str, Any], worker: int) -> bool:
    """Return whether a run has a process below its worker whose environment this user must not read."""
    text = str(run.get("infrastructure_pid") or "")
    try:
        process = psutil.Process(int(text))
    except (psutil.Error, OSError, ValueError):
        return False
    try:
        process.environ()
    except psutil.AccessDenied:
        # after a restart of the machine, the number may be that of a system process
        return _descends(process, worker)
    except (psutil.Error, OSError):
        return False
    return False


def _descends(process: psutil.Process, ancestor: int) -> bool:
    """Return whether a process has an ancestor; the system gives those of an ended process to another one at once."""
    try:
        return bool(ancestor) and ancestor in {parent.pid for parent in process.parents()}
    except psutil.NoSuchProcess:
        return False
