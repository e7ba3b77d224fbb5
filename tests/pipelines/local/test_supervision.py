"""What has ended is started again after growing pauses."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipelines.local import doctor, foreground, lifecycle
from pipelines.local import service_commands as commands
from pipelines.local.addresses import Record, read_record, write_record
from pipelines.local.processes import Process, alive, start, stop, stop_remains
from pipelines.local.service_status import service_status
from pipelines.local.supervision import GUARD, PAUSES, SUPERVISOR, WINDOW, Ends, due, note_ends, read_ends, write_ends
from pipelines.local.supervision_guard import guard
from pipelines.local.workspace import Workspace

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    process = start("elp-gpu", SLEEP, dict(os.environ), tmp_path / "elp-gpu.log")
    yield process
    stop([process])


def kill(process: Process) -> None:
    os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(process.pid)] if psutil.pid_exists(process.pid) else [], timeout=10)


def test_an_end_is_counted_once_and_started_again_at_once(sleeper: Process) -> None:
    record = Record((sleeper,))
    assert note_ends(record, {}, 100.0) == {}
    kill(sleeper)
    ends = note_ends(record, {}, 100.0)
    assert ends == note_ends(record, ends, 101.0) == {"elp-gpu": Ends(sleeper.pid, (100.0,))}
    assert list(due(record, ends, 100.0)) == [sleeper]
    # in the pause of the second end, and after the clock was set back in it
    second = {"elp-gpu": Ends(sleeper.pid, (99.0, 100.0))}
    assert [list(due(record, second, now)) for now in (101.0, -3500.0)] == [[], [sleeper]]


def test_what_ends_again_and_again_is_started_every_minute(sleeper: Process) -> None:
    record, ends, now, pauses = Record((sleeper,)), {"elp-gpu": Ends(0, ())}, 100.0, []
    kill(sleeper)
    for _ in range(20):
        # as if each start had been another process
        ends = note_ends(record, {"elp-gpu": Ends(0, ends["elp-gpu"].times)}, now)
        pauses.append(ends["elp-gpu"].start_at - now)
        now += pauses[-1]
        assert list(due(record, ends, now)) == [sleeper]
        now += 20.0
    assert pauses == [*PAUSES, *[PAUSES[-1]] * 15]
    assert ends["elp-gpu"].too_often
    assert ends["elp-gpu"].text == "ended 12 times within 15 minutes, and is started again every 60 s; read its log"
    assert note_ends(record, ends, now + 10 * WINDOW) == ends


def test_a_process_that_stays_up_begins_a_new_count(sleeper: Process) -> None:
    often = Ends(1, tuple(float(n) for n in range(len(PAUSES) + 1)))
    assert note_ends(Record((sleeper,)), {"elp-gpu": often}, 10.0) == {"elp-gpu": often}
    assert note_ends(Record((sleeper,)), {"elp-gpu": often}, 10.0 + WINDOW) == {}


def test_the_supervision_is_not_its_own_concern(tmp_path: Path) -> None:
    gone = Process(SUPERVISOR, 2**22 - 1, 1.0, str(tmp_path / "log"))
    assert note_ends(Record((gone,)), {}, 1.0) == {}


@pytest.mark.parametrize("text", ["", "[]", '{"elp-gpu": 5}', "\x00"])
def test_a_damaged_note_counts_from_zero(workspace: Workspace, text: str) -> None:
    (workspace.state / "supervision.json").write_text(text)
    assert read_ends(workspace) == {}


def test_what_an_ended_process_left_behind_is_killed(tmp_path: Path) -> None:
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).wait()"
    parent = start("mlflow", [sys.executable, "-c", child], dict(os.environ), tmp_path / "log")
    deadline = time.monotonic() + 20
    while not (left := psutil.Process(parent.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    kill(parent)
    assert left[0].is_running()
    assert stop_remains(parent) == {left[0].pid}
    assert not left[0].is_running()


def test_down_ends_what_a_killed_server_left_behind(workspace: Workspace, tmp_path: Path) -> None:
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).wait()"
    server = start("mlflow", [sys.executable, "-c", child], dict(os.environ), tmp_path / "log", "http://127.0.0.1:1")
    deadline = time.monotonic() + 20
    while not (left := psutil.Process(server.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    kill(server)
    write_record(workspace, Record((server,)))
    assert lifecycle.down(workspace, log=print) == []
    assert not left[0].is_running()


def test_a_dead_worker_is_started_again_and_only_once(workspace: Workspace, sleeper: Process, monkeypatch) -> None:
    monkeypatch.setattr(commands, "worker_command", lambda *_: SLEEP)
    monkeypatch.setattr(lifecycle, "prefect_api", lambda _: "http://127.0.0.1:1/api")
    write_record(workspace, Record((sleeper,)))
    lines: list[str] = []
    assert lifecycle.start_again(workspace, sleeper, lines.append) is None
    kill(sleeper)
    started = lifecycle.start_again(workspace, sleeper, lines.append)
    assert started
    assert alive(started)
    assert lifecycle.start_again(workspace, sleeper, lines.append) is None
    assert read_record(workspace).processes == (started,)
    assert lines == ["elp-gpu had ended and was started again"]
    stop([started])


def test_the_guard_starts_the_supervision_again_after_growing_pauses(workspace: Workspace, monkeypatch) -> None:
    monkeypatch.setattr(commands, "process_command", lambda *_: (SLEEP, dict(os.environ)))
    monkeypatch.setattr(lifecycle, "prefect_api", lambda _: "http://127.0.0.1:1/api")
    first = start(SUPERVISOR, SLEEP, dict(os.environ), workspace.state / "logs" / "supervisor.log")
    write_record(workspace, Record((first, replace(first, name=GUARD))))
    ends = guard(workspace, read_record(workspace), Ends(0, ()), 100.0)
    assert read_ends(workspace) == {}
    pids = [first.pid]
    for now in (100.0, 101.0, 103.5):
        present = read_record(workspace).find(SUPERVISOR)
        assert present
        if alive(present):
            kill(present)
        ends = guard(workspace, read_record(workspace), ends, now)
        pids.append(read_record(workspace).find(SUPERVISOR).pid)
    # at once, then after 2 s
    assert pids[1] == pids[2] != pids[0]
    assert pids[3] != pids[2]
    assert read_ends(workspace)[SUPERVISOR].times == (100.0, 101.0)
    # the last one runs, and the ends are old
    guard(workspace, read_record(workspace), ends, 103.5 + WINDOW)
    assert read_ends(workspace) == {}
    stop(read_record(workspace).processes)


def test_a_start_by_a_person_begins_a_new_count(
    workspace: Workspace, sleeper: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one end within 15 minutes would end all services again, which systemd has started again."""
    ends = {"mlflow": Ends(1, tuple(float(n) for n in range(6)))}
    write_ends(workspace, ends)
    monkeypatch.setattr(lifecycle, "_start", lambda workspace, record, *given: record)
    running = Record((replace(sleeper, name=SUPERVISOR),))
    lifecycle._start_supervision(workspace, running, [], "http://prefect/api", print)
    assert read_ends(workspace) == ends, "of a supervision that runs"
    lifecycle._start_supervision(workspace, Record(), [], "http://prefect/api", print)
    assert read_ends(workspace) == {}


def test_status_says_what_ends_again_and_again(workspace: Workspace) -> None:
    write_ends(workspace, {"elp-gpu": Ends(1, tuple(float(n) for n in range(6)))})
    found = {service.name: service for service in service_status(workspace)}
    assert found["elp-gpu"].state == "down"
    assert found["elp-gpu"].detail.startswith("ended 6 times within 15 minutes, and is started again every 60 s")
    assert found[SUPERVISOR].state == "down"
    assert "elp up" in found[SUPERVISOR].detail


def test_a_supervision_that_ends_at_each_start_is_reported(workspace: Workspace, sleeper: Process) -> None:
    gone = Process(SUPERVISOR, 2**22 - 1, 1.0, "supervisor.log")
    write_record(workspace, Record((gone, replace(sleeper, name=GUARD))))
    guard_ends = {SUPERVISOR: Ends(gone.pid, tuple(time.time() + n for n in range(6)))}
    write_ends(workspace, guard_ends, GUARD)
    found = service_status(workspace)[-1]
    assert found.detail.startswith("it has ended 6 times within 15 minutes, and is started again; its log")
    assert doctor._service(workspace, found)[0::2] == ("warn", "nothing, if it is up in a minute; else read its log")
    assert foreground._state(workspace) == "supervisor ended too often: stopping"


def test_a_guard_that_ends_again_and_again_is_reported(workspace: Workspace, sleeper: Process) -> None:
    gone = Process(GUARD, 2**22 - 1, 1.0, "guard.log")
    write_record(workspace, Record((replace(sleeper, name=SUPERVISOR), gone)))
    write_ends(workspace, {GUARD: Ends(gone.pid, tuple(float(n) for n in range(6)))})
    found = service_status(workspace)[-1]
    assert found.detail.startswith("its guard ended 6 times within 15 minutes, and is started again every 60 s")
    assert doctor._service(workspace, found)[0] == "warn"
