"""A run is known by its process: one of a living worker is here, stopped or not; what is left of others is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psutil
import pytest

from pipelines.local.interrupted_runs import Presence, find_processes, leading_text

_CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
RUN = f"run-{os.getpid()}"
"""Another run of these tests on this machine has other ids: processes of a run are killed by it."""
_SLEEP = "import time; time.sleep(600)"
WORKER = f"""
import os, subprocess, sys
run, code = sys.argv[1:]
child = subprocess.Popen([sys.executable, "-c", code], env={{**os.environ, "PREFECT__FLOW_RUN_ID": run}})
print(child.pid, flush=True)
child.wait()
{_SLEEP}
"""


class Worker:
    """A process that has started the process of one run, as a worker does."""

    def __init__(self, run: str, code: str = _SLEEP) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, run, code], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout
        self.run = int(self.process.stdout.readline())
        # the kernel shows the environment of a new program a moment after its start
        _wait(lambda: "PREFECT__FLOW_RUN_ID" in psutil.Process(self.run).environ())

    def end(self) -> None:
        for pid in (self.run, self.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def worker() -> Iterator[Worker]:
    began = Worker(RUN)
    yield began
    began.end()


def _run(name: str = RUN, worker: str = "elp-gpu-local", **more: Any) -> dict[str, Any]:
    return {
        "id": name, "name": name, "labels": {"prefect.worker.name": worker}, "infrastructure_pid": None,
        "state": {"id": "state-1", "type": "RUNNING"}, **more,
    }  # fmt: skip


def _look(run: dict[str, Any], workers: dict[str, int]) -> Presence:
    return find_processes([run], workers, print)[run["id"]]


def _wait(condition) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_run_of_a_living_worker_is_here_even_if_it_is_stopped_or_has_an_old_process_id(worker: Worker) -> None:
    workers = {"elp-gpu-local": worker.process.pid}
    # the worker writes the id of a new process some time after the start
    for pid in (None, str(worker.run), "4194303"):
        assert _look(_run(infrastructure_pid=pid), workers) is Presence.HERE
    os.kill(worker.run, signal.SIGSTOP)
    os.kill(worker.process.pid, signal.SIGSTOP)
    assert _look(_run(), workers) is Presence.HERE
    os.kill(worker.process.pid, signal.SIGCONT)


def test_a_process_that_this_user_cannot_read_is_that_of_the_run_only_below_its_worker(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Any) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "environ", denied)
    workers = {"elp-gpu-local": worker.process.pid}
    assert _look(_run(infrastructure_pid=str(worker.run)), workers) is Presence.HERE
    # the number of a process that began after a restart of the machine
    assert _look(_run(infrastructure_pid=str(os.getpid())), workers) is Presence.GONE


def test_a_run_of_another_machine_is_elsewhere_and_left_alone(worker: Worker) -> None:
    for run in (_run(worker="line-4:GPU-1"), _run(worker=""), {**_run(), "labels": None}):
        assert _look(run, {"elp-gpu-local": 0}) is Presence.ELSEWHERE
    assert _look(_run("run-2"), {"elp-gpu-local": worker.process.pid}) is Presence.GONE
    os.kill(worker.run, 0)


def test_a_run_that_has_lost_its_worker_is_ended(worker: Worker, capsys) -> None:
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    # the next worker runs already
    assert _look(_run(), {"elp-gpu-local": os.getpid()}) is Presence.GONE
    assert f"{RUN} had lost its worker" in capsys.readouterr().out
    _wait(lambda: not _exists(worker.run))


def test_a_process_that_ends_on_its_own_has_lost_nothing(capsys) -> None:
    # its worker is another one, so that it looks as if it were left behind; it ends during the look
    code = "import time; time.sleep(0.2)"
    ending = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PREFECT__FLOW_RUN_ID": RUN})
    try:
        assert _look(_run(), {"elp-gpu-local": 0}) is Presence.GONE
        assert capsys.readouterr().out == ""
    finally:
        ending.wait()


def test_a_run_whose_worker_is_down_is_ended(worker: Worker) -> None:
    assert _look(_run(), {"elp-gpu-local": 0}) is Presence.GONE
    _wait(lambda: not _exists(worker.run))


def test_a_process_with_the_id_of_one_that_ended_since_the_last_look_is_ended(worker: Worker) -> None:
    # what psutil keeps of an ended process whose id this one got
    (kept,) = [process for process in psutil.process_iter() if process.pid == worker.run]
    kept._ident = (worker.run, 1.0)
    assert _look(_run(), {"elp-gpu-local": 0}) is Presence.GONE
    _wait(lambda: not _exists(worker.run))


def test_what_is_left_of_a_killed_run_is_ended(capsys) -> None:
    worker = Worker(RUN, _CHILD)
    try:
        # its first process and the child of it
        _wait(lambda: len(_children(worker.run)) == 1)
        (child,) = _children(worker.run)
        os.kill(worker.run, signal.SIGKILL)
        _wait(lambda: not _exists(worker.run))
        assert _exists(child)
        assert _look(_run(infrastructure_pid=str(worker.run)), {"elp-gpu-local": worker.process.pid}) is Presence.GONE
        _wait(lambda: not _exists(child))
    finally:
        worker.end()


def _children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


def _exists(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_workers_of_two_workspaces_on_one_server_have_different_names(tmp_path) -> None:
    from pipelines.local.service_commands import worker_name
    from pipelines.local.settings import read_settings
    from pipelines.local.workspace import Workspace

    shared = read_settings("servers: {prefect_api: 'http://control:4200/api'}")
    names = {worker_name(Workspace(tmp_path / name, shared), "elp-gpu") for name in ("one", "two")}
    assert len(names) == 2
    assert worker_name(Workspace(tmp_path, read_settings("{}")), "elp-gpu") == "elp-gpu-local"


FIRST, LED = str(uuid4()), str(uuid4())
STATE, LATER = "a" * 36, "b" * 36


def _pair(worker: str = "afar", **more: Any) -> list[dict[str, Any]]:
    """A run, and another one that is executed in its process."""
    first = _run(FIRST, worker, state={"id": STATE, "type": "RUNNING"})
    return [first, _run(LED, worker, **{"infrastructure_pid": leading_text(first), **more})]


def _of_led(runs: list[dict[str, Any]], workers: dict[str, int]) -> Presence:
    return find_processes(runs, workers, print)[LED]


def test_a_run_in_the_process_of_another_one_is_where_that_one_is() -> None:
    assert _of_led(_pair(), {}) is Presence.ELSEWHERE
    began = Worker(FIRST)
    try:
        workers = {"elp-gpu-local": began.process.pid}
        assert _of_led(_pair("elp-gpu-local"), workers) is Presence.HERE
        os.kill(began.run, signal.SIGKILL)
        _wait(lambda: _of_led(_pair("elp-gpu-local"), workers) is Presence.GONE)
    finally:
        began.end()


def test_it_is_gone_when_the_other_one_has_ended_or_was_started_again() -> None:
    first, led = _pair()
    assert _of_led([led], {}) is Presence.GONE
    again = {**first, "state": {"id": LATER, "type": "RUNNING"}}
    assert _of_led([again, led], {}) is Presence.GONE
    cancelled = {**first, "state": {"id": LATER, "type": "CANCELLING"}}
    assert _of_led([cancelled, led], {}) is Presence.ELSEWHERE


def test_the_mark_of_an_earlier_claim_does_not_count_once_a_worker_has_taken_the_run() -> None:
    first, led = _pair(state={"id": LATER, "type": "PENDING", "message": None})
    assert _of_led([led], {}) is Presence.ELSEWHERE
    claimed = {**led, "infrastructure_pid": None, "state": {"id": LATER, "type": "PENDING"}}
    claimed["state"]["message"] = leading_text(first)
    assert _of_led([claimed], {}) is Presence.GONE
    assert _of_led([first, claimed], {}) is Presence.ELSEWHERE
