"""PostgreSQL's main process is killed; a checkpoint is interrupted; two supervisions watch one workspace."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.local.profiles import Profile
from pipelines.orchestration.prefect_api import connect_prefect, read_run
from pipelines.orchestration.workspace_runs import cancel_run
from tests.support.plant import Plant, plant_with_a_job
from tests.support.postgres import Postgres, postgres_server
from tests.support.whole_system import System, kill_processes, running_system

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600), pytest.mark.xdist_group("faults")]

ROOT = Path(__file__).resolve().parents[2]
SECOND = """
import sys, time
from pathlib import Path
from pipelines.local.workspace import open_workspace
from pipelines.orchestration import supervisor
watch = supervisor.Watch(open_workspace(Path(sys.argv[1])))
while True:
    supervisor.attempt(watch, "runs", supervisor.supervise_runs)
    time.sleep(1.0)
"""
ROUNDS = int(os.environ.get("ELP_FAULT_ROUNDS", "10"))


@pytest.mark.parametrize("point", ["before file checkpoint.safetensors#2", "after file checkpoint.safetensors#2"])
def test_sigterm_during_the_write_of_a_checkpoint(plant: Plant, point: str) -> None:
    job = plant.new_job()
    # the usual end of a worker's run
    assert plant.jobs.run(job, ELP_FAIL_POINT=point, ELP_FAIL_SIGNAL="SIGTERM") == -signal.SIGTERM
    plant.check_healed(job)


@pytest.mark.faults
def test_the_main_process_of_postgresql(tmp_path: Path) -> None:
    seed = int(os.environ.get("ELP_FAULT_SEED") or time.time_ns() % 10**6)
    print(f"ELP_FAULT_SEED={seed}")
    pick = random.Random(seed)
    with postgres_server() as postgres, plant_with_a_job(tmp_path, postgres.database("mlflow")) as plant:
        begin = time.monotonic()
        assert plant.jobs.run(plant.new_job()) == 0
        length = time.monotonic() - begin
        for _ in range(ROUNDS):
            job = plant.new_job()
            plant.jobs.start(job)
            time.sleep(pick.uniform(0, length))
            postgres.kill()
            time.sleep(pick.uniform(0, 2))
            postgres.start()
            plant.jobs.wait()
            plant.check_healed(job)


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


@pytest.mark.faults
def test_a_run_survives_that_postgresql_is_away(system: System, cluster: Postgres) -> None:
    for moment in (0.3, 0.7):
        slot, run = system.start()
        time.sleep(moment * system.length)
        cluster.kill()
        time.sleep(40)
        cluster.start()
        ended = system.wait(run)
        assert ended.state == "Completed", (ended, system.states(run))
        assert system.state(slot) == system.expected


@pytest.mark.faults
def test_two_supervisions_at_once_do_what_one_does(system: System) -> None:
    """The second one reaps as a supervision of another `elp up` would, while the first one does."""
    command = [sys.executable, "-c", SECOND, str(system.workspace.root)]
    second = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        for _ in range(3):
            slot, run = system.start()
            system.until(run, "Running")
            time.sleep(2)
            kill_processes(*(process.pid for process in system.run_processes(run)[:1]))
            assert system.wait(run).state == "Completed", system.states(run)
            names = [state for state, _ in system.states(run)]
            assert names.count("AwaitingRetry") == 1, names
            assert system.state(slot) == system.expected
        assert second.poll() is None
    finally:
        second.kill()
        second.wait()


@pytest.mark.faults
@pytest.mark.parametrize("after", [0.0, 1.0, 4.0, 7.5])
def test_a_cancel_in_the_seconds_after_a_crash_is_final(system: System, after: float) -> None:
    _, run = system.start()
    system.until(run, "Running")
    time.sleep(2)
    kill_processes(*(process.pid for process in system.run_processes(run)[:1]))
    time.sleep(after)
    with connect_prefect(system.workspace) as client:
        done = cancel_run(client, read_run(client, run), "cancelled by a test")
    assert [one.state_type for one in done] == ["CANCELLED"]
    # the reaper would start it again after 8 s
    time.sleep(20)
    with connect_prefect(system.workspace) as client:
        assert read_run(client, run).state_type == "CANCELLED", system.states(run)
    assert not system.run_processes(run)
