"""Processes of `elp up` are killed at random moments of a run; it ends without a person, as an undisturbed one."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import psutil
import pytest

from pipelines.local import lifecycle
from pipelines.local.addresses import read_record
from pipelines.local.supervision import SUPERVISOR
from pipelines.orchestration.deployments import register_deployments
from pipelines.orchestration.prefect_api import connect_prefect
from tests.support.whole_system import System, family, kill_processes, running_system

pytestmark = [
    pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(7200), pytest.mark.xdist_group("system")
]  # fmt: skip

ROUNDS = int(os.environ.get("ELP_FAULT_ROUNDS", "10"))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running_system(tmp_path_factory.mktemp("system")) as made:
        yield made


def _kill_run(system: System, run: str) -> None:
    kill_processes(*(process.pid for process in system.run_processes(run)[:1]))


def _end_all(system: System, run: str) -> None:
    record = read_record(system.workspace)
    # the supervision, which is the last in the record, first: it would start the others again
    every = [process for one in reversed(record.processes) for process in family(one.pid)]
    every += system.run_processes(run)
    kill_processes(*(process.pid for process in every))
    psutil.wait_procs(every, timeout=10.0)
    lifecycle.up(system.workspace, register_deployments, log=lambda _: None)


def _worker_and_run(system: System, run: str) -> None:
    kill_processes(system.pid("elp-gpu"))
    _kill_run(system, run)


def _stop_run(system: System, run: str) -> None:
    for process in system.run_processes(run)[:1]:
        kill_processes(process.pid, number=signal.SIGSTOP)
        time.sleep(45)
        kill_processes(process.pid, number=signal.SIGCONT)


def _supervision_then_run(system: System, run: str) -> None:
    kill_processes(system.pid(SUPERVISOR))
    _kill_run(system, run)
    time.sleep(3)
    lifecycle.up(system.workspace, register_deployments, log=lambda _: None)


def _begin_a_new_count(system: System) -> None:
    """Let the supervision forget what has ended: after six ends in 15 minutes it gives a process up."""
    supervision = family(system.pid(SUPERVISOR))[:1]
    kill_processes(*(process.pid for process in supervision))
    psutil.wait_procs(supervision, timeout=10.0)
    (system.workspace.state / "supervision.json").unlink(missing_ok=True)
    lifecycle.up(system.workspace, register_deployments, log=lambda _: None)


FAULTS: dict[str, Callable[[System, str], None]] = {
    "the process of the run": _kill_run,
    "the worker": lambda system, run: kill_processes(system.pid("elp-gpu")),
    "worker and process": _worker_and_run,
    "the Prefect server": lambda system, run: kill_processes(system.pid("prefect")),
    "the MLflow server": lambda system, run: kill_processes(*(p.pid for p in family(system.pid("mlflow")))),
    "the supervision, then the run": _supervision_then_run,
    "everything": _end_all,
    "the run hangs": _stop_run,
}


@pytest.mark.parametrize("what", FAULTS)
def test_the_run_ends_as_if_nothing_had_happened(system: System, what: str) -> None:
    seed = int(os.environ.get("ELP_FAULT_SEED") or time.time_ns() % 10**6)
    print(f"ELP_FAULT_SEED={seed}")
    pick = random.Random(seed)
    for number in range(ROUNDS):
        if number % 4 == 0:
            _begin_a_new_count(system)
        slot, run = system.start()
        moment = pick.uniform(0, system.length)
        time.sleep(moment)
        FAULTS[what](system, run)
        ended = system.wait(run)
        assert ended.state == "Completed", f"{what} after {moment:.1f} s of {system.length:.1f}: {ended}"
        assert system.state(slot) == system.expected, f"{what} after {moment:.1f} s of {system.length:.1f}"
        with connect_prefect(system.workspace) as client:
            assert client.read_flow_run(UUID(run)).state_name == "Completed"
