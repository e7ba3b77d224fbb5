"""The flow runs of one Prefect worker whose process has ended: end what is left of them, and report them to Prefect."""

from __future__ import annotations

import urllib.error
import urllib.parse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

from pipelines.local.interrupted_runs import worker_of
from pipelines.local.prefect_request import prefect_request
from pipelines.local.processes import every_process
from pipelines.local.runs_in_progress import unfinished_runs
from pipelines.local.worker_home import HOME
from pipelines.local.worker_plan import WORKER

Log = Callable[[str], None]

WORKER_LOST = "its worker ended, so it was stopped; started again, it continues at the step it had reached"
"""Message of a run whose worker has ended."""


def end_processes_of(home: Path, worker: str = "") -> int:
    """Kill the processes of one Prefect worker of this home, or of all, with their runs; return how many there were.

    They are found by their environment, whatever their parent is now: a run continues when its worker is killed, and a
    new worker would start the next one next to it.
    """
    found = []
    for process in every_process():
        try:
            environment = process.environ()
            mine = environment.get(HOME) == str(home) and WORKER in environment
            if mine and worker in ("", environment[WORKER]) and process.status() != psutil.STATUS_ZOMBIE:
                process.kill()
                found.append(process)
        except (psutil.Error, OSError):
            # another user's, or one that has just ended
            continue
    psutil.wait_procs(found, timeout=10.0)
    return len(found)


def forget_workers(api: str, workers: Iterable[tuple[str, str]], log: Log) -> None:
    """Delete workers that were ended, given by pool and name, in Prefect: one that only falls silent counts as lost."""
    try:
        for pool, worker in workers:
            try:
                name = urllib.parse.quote(worker, safe="")
                prefect_request(f"{api}/work_pools/{pool}/workers/{name}", method="DELETE")
            except urllib.error.HTTPError as error:
                # it has never reported
                if error.code != 404:
                    raise
    except OSError as error:
        log(f"Prefect could not delete the ended workers, so the alerts call them lost: {error}")


def report_lost_runs(api: str, pool: str, worker: str, log: Log, message: str = WORKER_LOST) -> None:
    """Report the unfinished runs of a Prefect worker that has ended, with its runs; no answer raises OSError.

    A run in progress becomes Crashed. One that had not begun waits for a worker again: nothing of it is lost. To be
    called before the next worker of this name starts: its runs would look the same.
    """
    for run in unfinished_runs(api, [pool]):
        if worker_of(run) != worker:
            continue
        state: dict[str, Any] = {"type": "CRASHED", "name": "Crashed", "message": message}
        if run["state_type"] == "PENDING":
            # without a time: Prefect takes the present moment of its own clock
            state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "its worker ended before the run began"}
        elif run["state_type"] == "CANCELLING":
            state = {"type": "CANCELLED", "name": "Cancelled", "message": "its worker ended while it was cancelled"}
        # forced: Prefect's orchestration rules may change or reject a state that is only proposed
        prefect_request(f"{api}/flow_runs/{run['id']}/set_state", {"state": state, "force": True})
        log(f"flow run {run['name']} lost its worker {worker} and is {state['name']}")
