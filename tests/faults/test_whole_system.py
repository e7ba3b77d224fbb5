"""Processes of `elp up` are killed at random moments of a run; it ends without a person, as an undisturbed one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest

from pipelines.local import lifecycle
from pipelines.local.addresses import mlflow_uri, read_record
from pipelines.local.initialise import init_workspace
from pipelines.local.supervision import SUPERVISOR
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.orchestration.deployments import register_deployments
from pipelines.orchestration.prefect_api import FollowedRun, connect_prefect, read_run, start_run
from pipelines.orchestration.reaper import STARTS_WITHIN
from pipelines.registry.slot import Slot
from tests.support.main_job import SETTINGS
from tests.support.public_state import public_state
from tests.support.workspaces import delivery, isolate

pytestmark = [
    pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(7200), pytest.mark.xdist_group("system")
]  # fmt: skip

ROUNDS = int(os.environ.get("ELP_FAULT_ROUNDS", "10"))
PATIENCE = 900.0
"""The promise is 120 s after the component is back, plus the run; this is a busy machine's."""


@dataclass
class System:
    """A workspace whose servers run, and what a run without a fault leaves."""

    workspace: Workspace
    delivery: Path
    length: float = 0.0
    expected: dict[str, Any] | None = None
    number: int = 0

    def start(self) -> tuple[Slot, str]:
        self.number += 1
        slot = Slot(f"plant-{self.number}", "asr")
        with connect_prefect(self.workspace) as client:
            parameters = {"slot": str(slot), "source": str(self.delivery)}
            return slot, start_run(client, self.workspace, "retrain", parameters, f"retrain {slot}").id

    def wait(self, run: str) -> FollowedRun:
        """Return the run when it has ended and is not started again."""
        ends, crashed = time.monotonic() + PATIENCE, 0.0
        while time.monotonic() < ends:
            time.sleep(0.5)
            try:
                with connect_prefect(self.workspace) as client:
                    found = read_run(client, run)
            # a server that is away is what this is about
            except Exception:
                continue
            crashed = (crashed or time.monotonic()) if found.state_type == "CRASHED" else 0.0
            if found.ended and (not crashed or time.monotonic() - crashed > STARTS_WITHIN):
                return found
        raise TimeoutError(f"the run {run} did not end")

    def state(self, slot: Slot) -> dict[str, Any]:
        return public_state(self.workspace, slot, mlflow_uri(self.workspace))

    def pid(self, name: str) -> int:
        process = read_record(self.workspace).find(name)
        assert process
        return process.pid

    def run_processes(self, run: str) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PREFECT__FLOW_RUN_ID") == run:
                    found.append(process)
            except psutil.Error:
                continue
        return sorted(found, key=lambda process: process.create_time())


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    from elp_core.testing import save_tiny

    folder = tmp_path_factory.mktemp("system")
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        save_tiny(folder / "backbone")
        workspace = init_workspace(folder / "site")
        servers = "servers: {mlflow_port: 0, prefect_port: 0}\nauto_promote: true\n"
        settings = SETTINGS.format(backbone=folder / "backbone")
        (workspace.root / "elp.yaml").write_text(f"remote: .elp/remote\n{servers}{settings}", encoding="utf-8")
        subprocess.run(["git", "-C", str(workspace.root), "commit", "-q", "-am", "Set it up"], check=True)
        made = System(open_workspace(workspace.root), delivery(folder / "delivery"))
        patch.setenv("ELP_KEYS", str(made.workspace.state / "keys"))
        try:
            lifecycle.up(made.workspace, register_deployments, log=lambda _: None)
            slot, run = made.start()
            begin = time.monotonic()
            assert made.wait(run).state == "Completed"
            made.length = time.monotonic() - begin
            made.expected = made.state(slot)
            yield made
        finally:
            lifecycle.down(made.workspace, log=lambda _: None)


def _kill(*pids: int, number: signal.Signals = signal.SIGKILL) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _kill_run(system: System, run: str) -> None:
    _kill(*(process.pid for process in system.run_processes(run)[:1]))


def _end_all(system: System, run: str) -> None:
    record = read_record(system.workspace)
    # the supervision, which is the last in the record, first: it would start the others again
    every = [process for one in reversed(record.processes) for process in _family(one.pid)]
    every += system.run_processes(run)
    _kill(*(process.pid for process in every))
    psutil.wait_procs(every, timeout=10.0)
    lifecycle.up(system.workspace, register_deployments, log=lambda _: None)


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _worker_and_run(system: System, run: str) -> None:
    _kill(system.pid("elp-gpu"))
    _kill_run(system, run)


def _stop_run(system: System, run: str) -> None:
    for process in system.run_processes(run)[:1]:
        _kill(process.pid, number=signal.SIGSTOP)
        time.sleep(45)
        _kill(process.pid, number=signal.SIGCONT)


def _supervision_then_run(system: System, run: str) -> None:
    _kill(system.pid(SUPERVISOR))
    _kill_run(system, run)
    time.sleep(3)
    lifecycle.up(system.workspace, register_deployments, log=lambda _: None)


def _begin_a_new_count(system: System) -> None:
    """Let the supervision forget what has ended: after six ends in 15 minutes it gives a process up."""
    supervision = _family(system.pid(SUPERVISOR))[:1]
    _kill(*(process.pid for process in supervision))
    psutil.wait_procs(supervision, timeout=10.0)
    (system.workspace.state / "supervision.json").unlink(missing_ok=True)
    lifecycle.up(system.workspace, register_deployments, log=lambda _: None)


FAULTS: dict[str, Callable[[System, str], None]] = {
    "the process of the run": _kill_run,
    "the worker": lambda system, run: _kill(system.pid("elp-gpu")),
    "worker and process": _worker_and_run,
    "the Prefect server": lambda system, run: _kill(system.pid("prefect")),
    "the MLflow server": lambda system, run: _kill(*(p.pid for p in _family(system.pid("mlflow")))),
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
