"""Runs of an ended worker are ended, those of its successor and of other machines are not; none is retried for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.local.addresses import Record, write_record
from pipelines.local.interrupted_runs import end_runs_of, retry_scheduled_runs
from pipelines.local.processes import start, stop
from pipelines.local.workspace import Workspace

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
GONE = 2**22 - 1


class Prefect:
    """Answers with these runs and workers, and keeps the states that are set."""

    def __init__(self) -> None:
        self.api = ""
        self.runs: list[dict[str, Any]] = []
        self.workers: list[dict[str, Any]] = []
        self.states: list[tuple[str, str]] = []

    def run(self, name: str, state: str, age: float, pid: int | None = None, **more: Any) -> None:
        moment = datetime.fromtimestamp(time.time() - age, UTC).isoformat()
        self.runs.append(
            {"id": name, "name": name, "state_type": state, "state": {"timestamp": moment, "message": ""}}
            | {"infrastructure_pid": None if pid is None else str(pid), **more}
        )

    def answer(self, path: str, body: Any) -> Any:
        if path.endswith("/set_state"):
            self.states.append((path.split("/")[-2], body["state"]["type"]))
            return {}
        return self.workers if path.endswith("/workers/filter") else self.runs


@pytest.fixture
def prefect() -> Iterator[Prefect]:
    server_state = Prefect()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(server_state.answer(self.path, body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server_state.api = f"http://127.0.0.1:{server.server_address[1]}/api"
        yield server_state
        server.shutdown()


def _begin_run(workspace: Workspace, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        SLEEP, env={**os.environ, "PREFECT__FLOW_RUN_ID": name, "ELP_WORKSPACE": str(workspace.root)}
    )


def test_a_run_of_the_new_worker_is_left_alone(workspace: Workspace, prefect: Prefect, tmp_path: Path) -> None:
    old = _begin_run(workspace, "old")
    time.sleep(0.1)
    worker = start("elp-gpu", SLEEP, dict(os.environ), tmp_path / "log")
    write_record(workspace, Record((worker,)))
    # a new worker needs some seconds before it takes a run
    time.sleep(2.2)
    new = _begin_run(workspace, "new")
    try:
        prefect.run("old", "RUNNING", 30, old.pid)
        prefect.run("claimed-by-old", "PENDING", 20)
        prefect.run("new", "RUNNING", 0, new.pid)
        prefect.run("claimed-by-new", "PENDING", 0)
        end_runs_of(workspace, prefect.api, "elp-gpu", (), print)
        # a process that psutil sees within the second after the worker's start may be of either
        assert new.poll() is None
        assert prefect.states[-1] == ("claimed-by-old", "SCHEDULED")
        assert "new" not in dict(prefect.states)
        assert "claimed-by-new" not in dict(prefect.states)
        assert dict(prefect.states)["old"] == "CRASHED"
        assert not psutil.pid_exists(old.pid)
    finally:
        stop([worker])
        for process in (old, new):
            process.kill()
            process.wait()


def test_a_run_of_another_machine_is_left_alone(workspace: Workspace, prefect: Prefect) -> None:
    assert not psutil.pid_exists(GONE)
    prefect.run("there", "RUNNING", 30, GONE)
    prefect.run("here", "RUNNING", 30, GONE - 1)
    prefect.workers = [{"name": "other-machine", "status": "ONLINE"}, {"name": "elp-gpu-local", "status": "OFFLINE"}]
    end_runs_of(workspace, prefect.api, "elp-gpu", {GONE - 1}, print)
    assert prefect.states == [("here", "CRASHED")]
    prefect.workers.clear()
    end_runs_of(workspace, prefect.api, "elp-gpu", (), print)
    assert dict(prefect.states)["there"] == "CRASHED"


def test_a_scheduled_run_that_never_begins_is_started_once_more_and_not_for_ever(prefect: Prefect) -> None:
    # Prefect counts a start only when the run runs
    prefect.run("nightly", "CRASHED", 30, auto_scheduled=True, run_count=0)
    retried: set[str] = set()
    for _ in range(3):
        retry_scheduled_runs(prefect.api, ("elp",), 0.0, retried, print)
    assert prefect.states == [("nightly", "SCHEDULED")]
