"""A workspace whose servers and workers run, as `elp up` starts them, and what a run without a fault leaves."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest

from pipelines.local import lifecycle
from pipelines.local.addresses import mlflow_uri, prefect_api, read_record
from pipelines.local.initialise import init_workspace
from pipelines.local.profiles import Profile
from pipelines.local.runs_in_progress import unfinished_runs
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.orchestration.deployments import register_deployments
from pipelines.orchestration.prefect_api import FollowedRun, connect_prefect, read_run, start_run
from pipelines.orchestration.reaper import STARTS_WITHIN
from pipelines.registry.slot import Slot
from tests.support.main_job import SETTINGS
from tests.support.object_store import OWNER, write_secrets
from tests.support.public_state import public_state
from tests.support.workspaces import delivery, isolate

BACK_WITHIN = 120.0
"""The promise: a run continues so many seconds after what failed is back, and so is a server that was ended."""
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
    gpu_locks: Path = Path("/nowhere")

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
        """Return what others see of a slot, within the promised time if MLflow was ended when the run had ended."""
        ends = time.monotonic() + BACK_WITHIN
        while True:
            try:
                return public_state(self.workspace, slot, mlflow_uri(self.workspace))
            except Exception:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.5)

    def disorder(self, slot: Slot) -> list[str]:
        """Return what must not be after the last run: failed checks, unfinished runs, held GPUs."""
        from pipelines.audit.server_records import ServerRecords
        from pipelines.audit.verify import start_verification, verify_registry

        tools = start_verification(self.workspace, ServerRecords(mlflow_uri(self.workspace)), lambda _: None)
        found = [f"audit: {fact.name} {fact.value}: {fact.note}" for fact in verify_registry(tools, slot).failed]
        ends = time.monotonic() + 15.0
        while left := self._unfinished():
            # the process of a run that has just ended needs a moment
            if time.monotonic() > ends:
                return found + left
            time.sleep(0.5)
        return found

    def _unfinished(self) -> list[str]:
        runs = [f"{run['name']} is {run['state_name']}" for run in unfinished_runs(prefect_api(self.workspace))]
        return runs + [f"{lock.name} is held" for lock in self.gpu_locks.glob("*.lock") if _is_held(lock)]

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

    def states(self, run: str) -> list[tuple[str, str]]:
        """Return the name and the message of each state that a run has had, oldest first."""
        with connect_prefect(self.workspace) as client:
            found = sorted(client.read_flow_run_states(UUID(run)), key=lambda state: state.timestamp)
        return [(state.name or "", state.message or "") for state in found]

    def began(self, run: str) -> float:
        """Return when a run became Running last, in seconds since the epoch."""
        with connect_prefect(self.workspace) as client:
            found = client.read_flow_run_states(UUID(run))
        return max(state.timestamp.timestamp() for state in found if state.name == "Running")

    def until(self, run: str, name: str, begins: str = "", seconds: float = PATIENCE) -> str:
        """Wait until a run has a state of this name with a message that begins so, and return the message."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            # a server that is away for a moment is what this is about
            with contextlib.suppress(Exception):
                found = self.states(run)
                for state, message in found:
                    if state == name and message.startswith(begins):
                        return message
                if found[-1][0] in ("Completed", "Failed", "Cancelled"):
                    break
            time.sleep(0.5)
        raise TimeoutError(f"the run {run} was never {name}: {self.states(run)}")


def _is_held(lock: Path) -> bool:
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def running_system(folder: Path, profile: Profile | None = None) -> Iterator[System]:
    """Give a system whose first run has ended; `profile` may name a DVC remote and databases."""
    from elp_core.testing import save_tiny

    profile = profile or Profile()
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        save_tiny(folder / "backbone")
        workspace = init_workspace(folder / "site", profile=profile)
        databases = dict(zip(("database", "prefect_database"), filter(None, profile.databases), strict=False))
        servers = f"servers: {json.dumps({'mlflow_port': 0, 'prefect_port': 0} | databases)}\nauto_promote: true\n"
        settings = SETTINGS.format(backbone=folder / "backbone")
        (workspace.root / "elp.yaml").write_text(f"remote: {profile.remote}\n{servers}{settings}", encoding="utf-8")
        subprocess.run(["git", "-C", str(workspace.root), "commit", "-q", "-am", "Set it up"], check=True)
        if profile.remote.startswith("s3://"):
            write_secrets(workspace.state, OWNER.data_environment())
        made = System(open_workspace(workspace.root), delivery(folder / "delivery"))
        patch.setenv("ELP_KEYS", str(made.workspace.state / "keys"))
        made.gpu_locks = folder / "gpu-locks"
        patch.setenv("ELP_GPU_LOCKS", str(made.gpu_locks))
        patch.setenv("ELP_TEST_GPUS", "GPU-pretended:24")
        try:
            lifecycle.up(made.workspace, register_deployments, log=lambda _: None)
            slot, run = made.start()
            begin = time.monotonic()
            assert made.wait(run).state == "Completed"
            made.length = time.monotonic() - begin
            made.expected = made.state(slot)
            assert [*made.gpu_locks.glob("*.lock")], "the run has held the GPU"
            assert made.disorder(slot) == []
            yield made
        finally:
            lifecycle.down(made.workspace, log=lambda _: None)


def kill_processes(*pids: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to processes; those that have ended are left out."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that it has started."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
