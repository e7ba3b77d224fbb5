"""PostgreSQL's main process is killed; two supervisions watch one workspace; a run is cancelled after a crash."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipelines.local.profiles import Profile
from pipelines.orchestration.prefect_api import connect_prefect, read_run
from pipelines.orchestration.workspace_runs import cancel_run
from tests.support.plant import plant_with_a_job
from tests.support.postgres import Postgres, postgres_server
from tests.support.whole_system import BACK_WITHIN, System, family, kill_processes, running_system

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(3600)]

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = int(os.environ.get("ELP_FAULT_ROUNDS", "10"))
AWAY = 30.0
"""Seconds for which PostgreSQL is away."""
SECOND = """
import sys, time
from pathlib import Path
from pipelines.local.workspace import open_workspace
from pipelines.orchestration import supervisor
watch = supervisor.Watch(open_workspace(Path(sys.argv[1])))
while True:
    # of a supervision whose place in the record another one has, and that has not noticed it yet
    supervisor.attempt(watch, "processes", supervisor.supervise_processes)
    supervisor.attempt(watch, "runs", supervisor.supervise_runs)
    time.sleep(0.5)
"""


def _pick() -> random.Random:
    seed = int(os.environ.get("ELP_FAULT_SEED") or time.time_ns() % 10**6)
    print(f"ELP_FAULT_SEED={seed}")
    return random.Random(seed)


def test_the_main_process_of_postgresql(tmp_path: Path) -> None:
    pick = _pick()
    with postgres_server() as postgres, plant_with_a_job(tmp_path, postgres.database("mlflow")) as faulted:
        begin = time.monotonic()
        assert faulted.jobs.run(faulted.new_job()) == 0
        length = time.monotonic() - begin
        for _ in range(ROUNDS):
            job = faulted.new_job()
            faulted.jobs.start(job)
            time.sleep(pick.uniform(0, length))
            postgres.kill()
            time.sleep(pick.uniform(0, 2))
            postgres.start()
            faulted.jobs.wait()
            faulted.check_healed(job)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Postgres]:
    with postgres_server() as made:
        yield made


@pytest.fixture(scope="module")
def system(cluster: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system whose MLflow and Prefect have their databases in PostgreSQL."""
    profile = Profile(databases=(cluster.database("mlflow"), cluster.database("prefect")))
    with running_system(tmp_path_factory.mktemp("system"), profile) as made:
        yield made


def _kill_process_of(system: System, run: str) -> None:
    kill_processes(*(process.pid for process in system.run_processes(run)[:1]))


def _at_work(system: System) -> str:
    """Start a run and return it when it has worked for a moment."""
    _, run = system.start()
    system.until(run, "Running")
    time.sleep(2)
    return run


def test_a_run_survives_that_postgresql_is_away(system: System, cluster: Postgres) -> None:
    pick = _pick()
    for _ in range(max(1, ROUNDS // 5)):
        slot, run = system.start()
        moment = pick.uniform(0.2, 0.9) * system.length
        time.sleep(moment)
        cluster.kill()
        time.sleep(AWAY)
        cluster.start()
        back = time.time()
        ended = system.wait(run)
        shown = f"after {moment:.1f} s of {system.length:.1f}: {ended}, {system.states(run)}"
        assert ended.state == "Completed", shown
        assert system.began(run) - back < BACK_WITHIN, shown
        assert system.state(slot) == system.expected, shown


@pytest.fixture
def second(system: System) -> Iterator[subprocess.Popen[bytes]]:
    """A second process that supervises the workspace."""
    command = [sys.executable, "-c", SECOND, str(system.workspace.root)]
    with (system.workspace.state / "second.log").open("ab") as log:
        made = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log)
    try:
        yield made
        assert made.poll() is None, (system.workspace.state / "second.log").read_text()
    finally:
        made.kill()
        made.wait()


@pytest.mark.usefixtures("second")
def test_two_supervisions_start_a_crashed_run_again_once(system: System) -> None:
    for _ in range(max(1, ROUNDS // 3)):
        slot, run = system.start()
        system.until(run, "Running")
        time.sleep(2)
        _kill_process_of(system, run)
        assert system.wait(run).state == "Completed", system.states(run)
        names = Counter(state for state, _ in system.states(run))
        assert (names["AwaitingRetry"], names["Running"]) == (1, 2), system.states(run)
        assert system.state(slot) == system.expected


def _starts(system: System, name: str) -> int:
    """Return how often the two supervisions have started an ended process again."""
    logs = [system.workspace.state / "logs" / "supervisor.log", system.workspace.state / "second.log"]
    return sum(log.read_text().count(f"{name} had ended and was started again") for log in logs)


@pytest.mark.usefixtures("second")
def test_two_supervisions_start_an_ended_process_again_once(system: System) -> None:
    for name in ("mlflow", "elp-gpu"):
        pid, before = system.pid(name), _starts(system, name)
        kill_processes(*(process.pid for process in family(pid)))
        ends = time.monotonic() + 120
        while _starts(system, name) == before:
            assert time.monotonic() < ends
            time.sleep(0.2)
        # what the other one would have started by now
        time.sleep(10)
        assert _starts(system, name) == before + 1
        assert psutil.pid_exists(system.pid(name))
        assert system.pid(name) != pid
    slot, run = system.start()
    assert system.wait(run).state == "Completed", system.states(run)
    assert system.state(slot) == system.expected


@pytest.mark.parametrize("after", [0.0, 1.0, 4.0, 7.5])
def test_a_cancel_in_the_seconds_after_a_crash_is_final(system: System, after: float) -> None:
    run = _at_work(system)
    _kill_process_of(system, run)
    time.sleep(after)
    with connect_prefect(system.workspace) as client:
        done = cancel_run(client, read_run(client, run), "cancelled by a test")
    assert [one.state_type for one in done] == ["CANCELLED"], system.states(run)
    # the reaper starts a crashed run again 8 s after the last report about it
    time.sleep(20)
    with connect_prefect(system.workspace) as client:
        assert read_run(client, run).state_type == "CANCELLED", system.states(run)
    assert Counter(state for state, _ in system.states(run))["Running"] == 1, system.states(run)
    assert not system.run_processes(run)
