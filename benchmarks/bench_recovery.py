"""How long after kill -9 a run has its new Scheduled state: the process of the run, its worker, both, and everything.

Real servers and workers of `elp up`, in a workspace of their own. The run waits for a child on a paused pool. After an
end of everything the time of `elp up` is in it. Not measured here: a run on another host (`make fleet`), and MLflow and
PostgreSQL, for which a run is not put back at once but tries again (`tests/faults/test_outages_of_runs.py`).
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psutil

from pipelines.local import lifecycle
from pipelines.local.addresses import prefect_api, read_record
from pipelines.local.foreground import stop_signals
from pipelines.local.initialise import init_workspace
from pipelines.local.supervision import GUARD, SUPERVISOR
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.orchestration.deployments import register_deployments
from pipelines.orchestration.prefect_api import connect_prefect, start_run

ROUNDS = int(os.environ.get("ELP_BENCH_ROUNDS", "3"))
LONGEST = 120.0


def _process_of(run: str) -> psutil.Process:
    def mine(process: psutil.Process) -> bool:
        try:
            return process.environ().get("PREFECT__FLOW_RUN_ID") == run
        except psutil.Error:
            return False

    return min(filter(mine, psutil.process_iter()), key=lambda process: process.create_time())


def _wait(found: Callable[[], object], seconds: float = 300.0) -> None:
    ends = time.monotonic() + seconds
    while not found():
        if time.monotonic() > ends:
            raise TimeoutError("the run did not get so far")
        time.sleep(0.1)


def _kill(workspace: Workspace, run: str, what: str) -> None:
    record = read_record(workspace)
    worker = record.find("elp-cpu")
    assert worker
    targets = {
        "the process of the run": [_process_of(run).pid],
        "its worker": [worker.pid],
        "worker and process": [worker.pid, _process_of(run).pid],
        "supervision and process": [record.find(SUPERVISOR).pid, _process_of(run).pid],
        "Prefect server and process": [p.pid for p in record.processes if p.name == "prefect"] + [_process_of(run).pid],
        "everything, then elp up": [*(p.pid for p in record.processes), _process_of(run).pid],
    }[what]
    # the supervision and its guard, which are the last in the record, first: they would start the others again
    gone = [psutil.Process(pid) for pid in reversed(targets)]
    for process in gone:
        process.kill()
    psutil.wait_procs(gone, timeout=10.0)


def _begin_a_new_count(workspace: Workspace) -> None:
    """Let the supervision forget what has ended: after a sixth end in 15 minutes it waits a minute."""
    record = read_record(workspace)
    gone = [psutil.Process(process.pid) for process in record.processes if process.name in (SUPERVISOR, GUARD)]
    for process in gone:
        process.kill()
    psutil.wait_procs(gone, timeout=10.0)
    lifecycle.up(workspace, register_deployments, log=lambda _: None)


def _measure(workspace: Workspace, what: str) -> float:
    """Return the seconds from the kill to the new state."""
    with connect_prefect(workspace) as client:
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

        made = start_run(client, workspace, "retrain-all", {"slots": ["plant-a/asr"]}, "retrain all slots")
        _wait(lambda: (run := client.read_flow_run(UUID(made.id))).run_count == 1 and run.state.is_running())
        mine = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(made.id)]))
        _wait(lambda: client.read_task_runs(flow_run_filter=mine))
        time.sleep(1.0)
    killed = time.time()
    _kill(workspace, made.id, what)
    if what.startswith("everything"):
        lifecycle.up(workspace, register_deployments, log=lambda _: None)
    if "Prefect" in what:
        time.sleep(2.0)

    def scheduled() -> float:
        try:
            prefect_api(workspace)
            with connect_prefect(workspace) as client:
                states = client.read_flow_run_states(UUID(made.id))
                again = [s.timestamp for s in states if s.name == "AwaitingRetry"]
                return max(map(datetime.timestamp, again), default=0.0)
        # the server is away for a moment
        except Exception:
            return 0.0

    _wait(scheduled, LONGEST)
    took = scheduled() - killed
    with connect_prefect(workspace) as client:
        client.delete_flow_run(UUID(made.id))
    return took


def main() -> None:
    kinds = sys.argv[1:] or [
        "the process of the run", "its worker", "worker and process", "supervision and process",
        "Prefect server and process",
        "everything, then elp up",
    ]  # fmt: skip
    with stop_signals(), tempfile.TemporaryDirectory() as folder:
        os.environ.update(GIT_AUTHOR_NAME="b", GIT_AUTHOR_EMAIL="b@example.org")
        os.environ.update(GIT_COMMITTER_NAME="b", GIT_COMMITTER_EMAIL="b@example.org")
        workspace = init_workspace(Path(folder) / "plant")
        with (workspace.root / "elp.yaml").open("a") as settings:
            settings.write("servers: {mlflow_port: 0, prefect_port: 0}\n")
        workspace = open_workspace(workspace.root)
        try:
            lifecycle.up(workspace, register_deployments, log=lambda _: None)
            with connect_prefect(workspace) as client:
                from prefect.client.schemas.actions import WorkPoolUpdate

                client.update_work_pool("elp-gpu", WorkPoolUpdate(is_paused=True))
            print("| killed | median s | longest s | rounds |\n|---|---|---|---|")
            for kind in kinds:
                _begin_a_new_count(workspace)
                found = [_measure(workspace, kind) for _ in range(ROUNDS)]
                print(f"| {kind} | {statistics.median(found):.1f} | {max(found):.1f} | {len(found)} |", flush=True)
        finally:
            lifecycle.down(workspace, log=lambda _: None)


if __name__ == "__main__":
    main()
