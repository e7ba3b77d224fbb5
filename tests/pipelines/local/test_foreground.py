"""`elp up --foreground` in a process of its own, with sleeping processes in place of the servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipelines.local import accounts, lifecycle, supervision
from pipelines.local.addresses import Record, read_record, write_record
from pipelines.local.foreground import LogFollower
from pipelines.local.processes import Process, alive, start, stop
from pipelines.local.supervision import PAUSES, SUPERVISOR, Ends
from pipelines.local.workspace import Workspace, open_workspace
from tests.support.shell import shell

PROGRAM = """
import os, signal, sys
from pipelines.errors import ServiceError
from pipelines.local import lifecycle, service_commands
from pipelines.local.addresses import Record, write_record
from pipelines.local.foreground import stay_up
from pipelines.local.processes import start
from pipelines.local.workspace import open_workspace

# what starts the tests may ignore some, and this process would inherit that
for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(one, signal.SIG_DFL)

SLEEP = [sys.executable, "-c", "import time; print('hel' + 'lo', flush=True); time.sleep(600)"]
workspace = open_workspace()

def sleepers():
    logs = workspace.state / "logs"
    made = [start(name, SLEEP, os.environ, logs / f"{name}.log") for name in ("elp-cpu", "supervisor")]
    write_record(workspace, Record(tuple(made)))
    print("started", flush=True)

def servers_that_never_answer():
    service_commands.mlflow_command = service_commands.prefect_command = lambda *_: SLEEP
    lifecycle.up(workspace, lambda *_: None, log=lambda line: print(line, flush=True))

def nothing():
    raise ServiceError("none today")

sys.exit(stay_up(workspace, globals()[sys.argv[1]], lambda line: print(line, flush=True)))
"""

Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin(workspace: Workspace) -> Iterator[Begin]:
    with (workspace.root / "elp.yaml").open("a") as settings:
        settings.write("servers: {mlflow_port: 0, prefect_port: 0}\n")
    begun: list[subprocess.Popen[str]] = []

    def begin(how: str = "sleepers") -> subprocess.Popen[str]:
        environment = {**os.environ, "ELP_WORKSPACE": str(workspace.root)}
        command = [sys.executable, "-c", PROGRAM, how]
        begun.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()
    stop(read_record(workspace).processes, patience=0.1)


def _until(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            return
    pytest.fail(f"it ended with {process.wait()} and never said {word!r}")


def _rest(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=120)[0]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda one: one.name)
def test_a_signal_ends_everything_and_the_exit_code_is_0(
    begin: Begin, workspace: Workspace, how: signal.Signals
) -> None:
    process = begin()
    _until(process, "elp-cpu | hello")
    services = read_record(workspace).processes
    assert all(map(alive, services))
    process.send_signal(how)
    process.send_signal(signal.SIGTERM)
    said = _rest(process)
    assert process.returncode == 0
    assert said.splitlines()[-3:] == [f"{how.name}: stopping", "supervisor stopped", "elp-cpu stopped"]
    assert not any(map(alive, services))
    assert read_record(workspace).processes == ()


def test_a_signal_while_it_starts_ends_what_was_started(begin: Begin, workspace: Workspace) -> None:
    process = begin("servers_that_never_answer")
    _until(process, "prefect starting at")
    services = read_record(workspace).processes
    assert len(services) == 2
    process.send_signal(signal.SIGTERM)
    assert _rest(process).splitlines()[-1] == "SIGTERM: stopping"
    assert process.returncode == 0
    assert not any(map(alive, services))
    assert read_record(workspace).processes == ()


def test_elp_down_in_another_process_ends_it_too(begin: Begin, workspace: Workspace) -> None:
    process = begin()
    _until(process, "started")
    lifecycle.down(workspace, log=lambda _: None)
    assert "stopping" not in _rest(process)
    assert process.returncode == 0


def test_it_ends_with_1_if_the_supervision_has_ended_and_leaves_no_zombie(begin: Begin, workspace: Workspace) -> None:
    process = begin()
    _until(process, "started")
    services = read_record(workspace).processes
    (supervisor,) = [one for one in services if one.name == SUPERVISOR]
    os.kill(supervisor.pid, signal.SIGKILL)
    assert "the supervision has ended" in _rest(process)
    assert process.returncode == 1
    assert not any(psutil.pid_exists(one.pid) for one in services)


def test_it_ends_with_1_if_a_service_ends_again_and_again(begin: Begin, workspace: Workspace) -> None:
    process = begin()
    _until(process, "started")
    worker = next(one for one in read_record(workspace).processes if one.name != SUPERVISOR)
    os.kill(worker.pid, signal.SIGKILL)
    now = time.time()
    supervision.write_ends(workspace, {worker.name: Ends(worker.pid, (now,) * (len(PAUSES) + 1))})
    assert "elp-cpu ended too often" in _rest(process)
    assert process.returncode == 1


def test_an_error_while_it_follows_ends_everything_too(begin: Begin, workspace: Workspace) -> None:
    process = begin()
    _until(process, "started")
    services = read_record(workspace).processes
    (workspace.state / "logs" / "folder.log").mkdir()
    assert "elp-cpu stopped" in _rest(process)
    assert process.returncode == 1
    assert not any(map(alive, services))


def test_a_start_that_fails_leaves_what_ran_before(begin: Begin, workspace: Workspace) -> None:
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
    log = workspace.state / "logs" / "elp-cpu.log"
    before: Process = start("elp-cpu", sleeping, os.environ, log)
    write_record(workspace, Record((before,)))
    process = begin("nothing")
    assert _rest(process) == ""
    assert process.returncode == 1
    assert alive(before)


def test_the_logs_are_followed_by_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "mlflow.log"
    log.write_bytes(b"before\n")
    follower = LogFollower(tmp_path)
    follower.skip()
    assert list(follower.lines()) == []
    with log.open("ab") as file:
        file.write("one\nzwö".encode())
    (tmp_path / "prefect.log").write_bytes(b"\xff is no text\n")
    assert list(follower.lines()) == ["mlflow | one", "prefect | � is no text"]
    with log.open("ab") as file:
        file.write(b"lf\n")
    assert list(follower.lines()) == ["mlflow | zwölf"]
    log.write_bytes(b"new\n")
    assert list(follower.lines()) == ["mlflow | new"], "a log that was replaced begins again"
    with log.open("ab") as file:
        file.write(b"x" * (1 << 20) + b"end\n")
    assert len(list(follower.lines())) == 1, "a line without an end does not stop the following"
    assert list(follower.lines()) == ["mlflow | end"]


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_the_commands_of_the_container_with_the_real_servers(tmp_path: Path) -> None:
    assert shell("elp init . --host 0.0.0.0", tmp_path).returncode == 0
    text = (tmp_path / "elp.yaml").read_text()
    free = text.replace('{host: "0.0.0.0"}', '{host: "0.0.0.0", mlflow_port: 0, prefect_port: 0}')
    assert free != text
    (tmp_path / "elp.yaml").write_text(free)
    command = [str(Path(sys.executable).parent / "elp"), "up", "--foreground", "--auth"]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=said, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 600
        while shell("elp status", tmp_path).returncode and process.poll() is None and time.monotonic() < deadline:
            time.sleep(3)
        assert process.poll() is None
        services = read_record(open_workspace(tmp_path)).processes
        assert len(services) == 6, "two servers, two workers, the supervision and its guard"
        assert all("://127.0.0.1:" in service.address for service in services if service.address)
    finally:
        process.terminate()
        code = process.wait(120)
    shown = (tmp_path / "said").read_text()
    assert code == 0
    assert "SIGTERM: stopping" in shown
    assert "mlflow | " in shown
    assert not any(map(alive, services))
    admin = accounts.first_admin(open_workspace(tmp_path))
    assert admin is not None
    assert "first administrator: admin" in shown
    assert admin.password not in shown
