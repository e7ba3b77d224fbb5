"""Flow runs whose process or worker has ended: mark them, end what is left, start scheduled ones once more."""

import contextlib
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil

from elp_core.types import Seconds
from pipelines.local.addresses import read_record
from pipelines.local.prefect_request import prefect_request
from pipelines.local.processes import alive
from pipelines.local.runs_in_progress import unfinished_runs
from pipelines.local.workspace import Workspace

Log = Callable[[str], None]

STOPPED_BY_DOWN = "stopped by elp down; run it again, it continues at the step it had reached"
"""Message of a run that `elp down` ended."""

WORKER_ENDED = "its worker ended, so it was stopped; run again, it continues at the step it had reached"
"""Message of a run that the supervision ended."""

_RUN_ID = "PREFECT__FLOW_RUN_ID"
"""Environment variable with the id of the run that a process executes."""
_SETTLED: Seconds = 8.0
"""A worker reports a crash a second time about 2 s after the first, which would overwrite an earlier new state."""


def mark_crashed(api: str, pids: set[int], message: str, log: Log) -> None:
    """Mark the flow runs whose processes were stopped; Prefect would show them as running for ever."""
    try:
        for run in unfinished_runs(api):
            # Prefect's schema has the process id as text
            if run.get("infrastructure_pid") in {str(pid) for pid in pids}:
                # forced: Prefect's orchestration rules may change or reject a state that is only proposed
                state = {"state": {"type": "CRASHED", "message": message}, "force": True}
                prefect_request(f"{api}/flow_runs/{run['id']}/set_state", state)
                log(f"flow run {run['name']} was in progress and is marked as crashed")
    except OSError as error:
        log(f"the interrupted flow runs could not be marked in Prefect: {error}")


def end_runs_of(workspace: Workspace, api: str, pool: str, killed: Collection[int], log: Log) -> None:
    """End the runs whose worker on this machine has ended, and mark them as crashed; put back those that never began.

    A run continues without its worker, but its end is not reported, and a new worker would start the next run next to
    it. `killed` are the ids of processes that ended with the worker. No answer raises OSError.
    """
    before = _present_worker_began(workspace, pool)
    ours = _run_processes(workspace, before)
    runs = unfinished_runs(api, [pool])
    # a run of another machine's worker has a process that this one cannot see
    alone = not _other_workers(api, pool)
    ended = set()
    for run in runs:
        text = str(run.get("infrastructure_pid") or "")
        pid = int(text) if text.isdigit() else 0
        if process := ours.get(str(run["id"])):
            ended |= _kill(process)
        elif pid in killed or (alone and pid and _older(run, before) and not psutil.pid_exists(pid)):
            ended.add(pid)
    mark_crashed(api, ended, WORKER_ENDED, log)
    for run in runs if alone else []:
        if run["state_type"] == "PENDING" and not run.get("infrastructure_pid") and _older(run, before):
            _schedule_again(api, run, "its worker ended before the run began")
            log(f"flow run {run['name']} waits for a worker again")


def retry_scheduled_runs(api: str, tags: Collection[str], since: float, retried: set[str], log: Log) -> None:
    """Start each scheduled run that crashed after a moment (seconds since the epoch) once more. No answer: OSError.

    A run that a person started is not repeated: the person gets an alert, and may have started it again. `retried`
    keeps the ids of the runs that were started again: Prefect does not count a start of a run that ends before it runs.
    """
    after = datetime.fromtimestamp(since, UTC).isoformat()
    before = (datetime.now(UTC) - timedelta(seconds=_SETTLED)).isoformat()
    wanted = {
        "state": {"type": {"any_": ["CRASHED"]}},
        "tags": {"all_": list(tags)},
        "end_time": {"after_": after, "before_": before},
    }
    for run in prefect_request(f"{api}/flow_runs/filter", {"flow_runs": wanted, "limit": 200}):
        stopped = (run["state"].get("message") or "") == STOPPED_BY_DOWN
        again = run["run_count"] > 1 or str(run["id"]) in retried
        if run["auto_scheduled"] and not again and not stopped:
            retried.add(str(run["id"]))
            _schedule_again(api, run, "started once more after a crash")
            log(f"flow run {run['name']} had crashed and is started once more")


def _schedule_again(api: str, run: dict[str, Any], message: str) -> None:
    details = {"scheduled_time": datetime.now(UTC).isoformat()}
    state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": message, "state_details": details}
    prefect_request(f"{api}/flow_runs/{run['id']}/set_state", {"state": state, "force": True})


def _present_worker_began(workspace: Workspace, pool: str) -> float:
    """Return until when runs belong to an earlier worker of the pool on this machine: seconds since the epoch."""
    worker = read_record(workspace).find(pool)
    try:
        # a second for the precision of the system's start; a new worker takes its first run later
        return psutil.Process(worker.pid).create_time() + 1.0 if worker and alive(worker) else time.time()
    except psutil.NoSuchProcess:
        return time.time()


def _older(run: dict[str, Any], before: float) -> bool:
    return datetime.fromisoformat(run["state"]["timestamp"]).timestamp() < before


def _run_processes(workspace: Workspace, before: float) -> dict[str, psutil.Process]:
    """Return the processes on this machine, begun before a moment, that execute a run of the workspace, by its id."""
    found: dict[str, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            # another user's
            continue
        run = environment.get(_RUN_ID, "")
        if not run or environment.get("ELP_WORKSPACE") != str(workspace.root):
            continue
        # the oldest one is the run, the others are its children; one that has just ended is none
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.create_time() < min(before, found[run].create_time() if run in found else before):
                found[run] = process
    return found


def _kill(process: psutil.Process) -> set[int]:
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return {process.pid}
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            # it ended in between
            continue
    psutil.wait_procs(family, timeout=5.0)
    return {member.pid for member in family}


def _other_workers(api: str, pool: str) -> bool:
    """Return whether a worker of another machine may have a run of the pool."""
    workers = prefect_request(f"{api}/work_pools/{pool}/workers/filter", {})
    return any(worker["status"] == "ONLINE" and worker["name"] != f"{pool}-local" for worker in workers)
