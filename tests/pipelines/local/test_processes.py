from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipelines.local.processes import Process, alive, descendants, listens, start, stop, stop_remains, tail

SLEEP = "import time; time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('rea' + 'dy', flush=True); " + SLEEP
PARENT = (
    f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); print('rea' + 'dy', flush=True); "
    + SLEEP
)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator:
    begun: list[Process] = []

    def begin(code: str) -> Process:
        begun.append(start("test", [sys.executable, "-c", code], os.environ, tmp_path / "logs" / "test.log"))
        return begun[-1]

    yield begin
    stop(begun, patience=0.1)


def _wait_for(process: Process, word: str) -> None:
    deadline = time.monotonic() + 30
    while word not in tail(process.log) and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_started_process_is_alive_in_a_session_of_its_own(begin) -> None:
    process = begin(SLEEP)
    assert alive(process)
    assert os.getsid(process.pid) == process.pid != os.getsid(0)


def test_a_port_is_that_of_the_process_or_of_another_one(begin) -> None:
    server = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); print('po' + 'rt', *s.getsockname(), flush=True); "
    )
    inner = begin(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {server + SLEEP!r}])")
    other = begin(SLEEP)
    _wait_for(inner, "port 127.0.0.1")
    port = int(tail(inner.log).rpartition("127.0.0.1 ")[2].split()[0])
    assert listens(inner, port), "its child does"
    assert not listens(other, port)
    stop([inner], patience=0.2)
    assert not listens(inner, port)


def test_stop_ends_it_and_says_so(begin) -> None:
    process = begin(SLEEP)
    assert stop([process]) == [process]
    assert not alive(process)
    assert stop([process]) == []


def test_a_process_that_ignores_the_request_is_ended_by_force(begin) -> None:
    process = begin(STUBBORN)
    _wait_for(process, "ready")
    stop([process], patience=0.2)
    assert not alive(process)


def test_children_end_with_their_parent(begin) -> None:
    process = begin(PARENT)
    _wait_for(process, "ready")
    children = descendants(process)
    assert len(children) == 1
    stop([process])
    assert not any(psutil.pid_exists(child) for child in children)


def test_alone_a_process_leaves_its_children_running(begin) -> None:
    process = begin(PARENT)
    _wait_for(process, "ready")
    (child,) = descendants(process)
    assert stop([process], alone=True) == [process]
    assert not alive(process)
    assert psutil.pid_exists(child)
    assert stop_remains(process) == {child}


def test_another_process_that_got_the_id_is_left_alone(begin) -> None:
    process = begin(SLEEP)
    for impostor in (
        dataclasses.replace(process, started=f"another-boot {process.started.split()[1]}"),
        # a record of an older release
        dataclasses.replace(process, created=process.created - 3600, started=""),
    ):
        assert not alive(impostor)
        assert stop([impostor]) == []
        assert alive(process)


def test_a_step_of_the_clock_makes_no_other_process(begin) -> None:
    process = begin(SLEEP)
    assert process.started
    # as psutil reports it before or after the step
    assert alive(dataclasses.replace(process, created=process.created - 3600))
    assert alive(dataclasses.replace(process, started=""))


def test_the_session_of_another_process_that_got_the_id_is_left_alone(begin) -> None:
    process = begin(PARENT)
    _wait_for(process, "ready")
    (child,) = descendants(process)
    assert stop_remains(dataclasses.replace(process, created=process.created - 3600, started="")) == set()
    assert descendants(process) == {child}


def test_the_log_keeps_what_was_said(begin) -> None:
    process = begin("print('hello', flush=True); raise SystemExit('the ' + 'reason')")
    _wait_for(process, "the reason")
    assert tail(process.log, lines=2) == "hello\nthe reason"


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "none.log") == ""
