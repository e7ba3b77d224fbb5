"""`elp worker` on a real Prefect server: a taken GPU sends a run back, and a killed worker leaves no run behind."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest

from pipelines.local import http_client as web
from pipelines.local.gpu_need import ensure_queues, unserved_runs
from pipelines.local.service_commands import POOLS, prefect_command
from pipelines.local.worker_home import WorkerSettings, write_worker
from pipelines.locks import hold_until_exit, let_go

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[3]
GPU = "GPU-a"


@dataclass
class Fleet:
    """A Prefect server, and `elp worker` on a machine with one pretended GPU."""

    api: str
    folder: Path
    environment: dict[str, str]
    client: Any
    parent: subprocess.Popen[bytes] | None = None

    @property
    def lock(self) -> Path:
        return self.folder / "locks" / f"{GPU}.lock"

    def start(self) -> None:
        elp = [str(Path(sys.executable).parent / "elp"), "worker", "--home", str(self.folder / "home")]
        with (self.folder / "parent.log").open("ab") as log:
            self.parent = subprocess.Popen(elp, env=self.environment, stdout=log, stderr=log)

    def worker(self) -> psutil.Process | None:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if f"host:{GPU}" in process.cmdline():
                    return process
        return None

    def run(self, seconds: float = 0.0, env: dict[str, str] | None = None) -> UUID:
        parameters = {"folder": str(self.folder), "seconds": seconds}
        deployment = self.client.read_deployment_by_name("occupy/test")
        variables = {"env": env} if env else None
        made = self.client.create_flow_run_from_deployment(
            deployment.id, parameters=parameters, job_variables=variables
        )
        return UUID(str(made.id))

    def state(self, run: UUID) -> Any:
        return self.client.read_flow_run(run).state

    def until(self, run: UUID, name: str) -> Any:
        return _until(lambda: (state := self.state(run)).name == name and state, f"{name}, not {self.state(run)}")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder, port = tmp_path_factory.mktemp("fleet"), web.free_port("127.0.0.1")
    api = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ, "PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": api, "PYTHONPATH": str(ROOT),
        "ELP_TEST_GPUS": GPU, "ELP_GPU_LOCKS": str(folder / "locks"), "HOME": str(folder),
    }  # fmt: skip
    (folder / "locks").mkdir()
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(prefect_command("127.0.0.1", port), env=environment, stdout=log, stderr=log)
    made = None
    try:
        _until(lambda: web.answers(f"{api}/health"), "Prefect", 300)
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.actions import WorkPoolCreate
        from prefect.settings import PREFECT_API_URL, temporary_settings
        from prefect.workers.process import ProcessWorker

        with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
            for name in POOLS:
                template = ProcessWorker.get_default_base_job_template()
                client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))
            flow_id = client.create_flow_from_name("occupy")
            client.create_deployment(
                flow_id, "test", entrypoint="tests.support.gpu_flow.occupy", work_pool_name="elp-gpu"
            )
            write_worker(folder / "home", WorkerSettings("host", api, "http://127.0.0.1:1"))
            made = Fleet(api, folder, environment, client)
            made.start()
            yield made
    finally:
        if made is not None and made.parent is not None:
            made.parent.terminate()
            assert made.parent.wait(60) == 0
            assert made.worker() is None
        server.terminate()
        server.wait(60)


def _until(true: Callable[[], Any], what: str, seconds: float = 180) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


def test_a_taken_gpu_sends_the_run_back_to_its_queue_until_it_is_free(fleet: Fleet) -> None:
    assert hold_until_exit(fleet.lock)
    run = fleet.run()
    state = fleet.until(run, "AwaitingRetry")
    assert state.message.startswith(f"waits in its queue: {GPU} is in use")
    seen = {fleet.state(run).type.value for _ in range(50) if not time.sleep(0.1)}
    assert seen <= {"SCHEDULED", "PENDING", "RUNNING"}, "never a failure"
    let_go(fleet.lock)
    fleet.until(run, "Completed")


def test_a_run_that_names_a_gpu_is_refused(fleet: Fleet) -> None:
    state = fleet.until(fleet.run(env={"CUDA_VISIBLE_DEVICES": "0"}), "Crashed")
    assert "the deployment or the job sets CUDA_VISIBLE_DEVICES, which names the GPU of another run" in state.message


def test_runs_that_no_worker_can_carry_are_named(fleet: Fleet) -> None:
    ensure_queues(fleet.api, "elp-gpu")
    deployment = fleet.client.read_deployment_by_name("occupy/test")
    made = fleet.client.create_flow_run_from_deployment(
        deployment.id, parameters={"folder": str(fleet.folder)}, work_queue_name="gpu-80"
    )
    # the worker's pretended GPU has 8 GiB
    _until(lambda: unserved_runs(fleet.api, "elp-gpu") == {"gpu-80": 1}, "one run waits")
    fleet.client.delete_flow_run(made.id)
    _until(lambda: unserved_runs(fleet.api, "elp-gpu") == {}, "none waits")


def test_a_killed_worker_leaves_no_run_behind_and_comes_back(fleet: Fleet) -> None:
    run = fleet.run(600)
    fleet.until(run, "Running")
    worker = _until(fleet.worker, "the worker")
    _until(lambda: (fleet.folder / f"{GPU}.turns").exists(), "the run has the GPU")
    worker.kill()
    fleet.until(run, "Crashed")
    assert hold_until_exit(fleet.lock), "free"
    let_go(fleet.lock)
    fleet.until(fleet.run(), "Completed")


def test_no_two_runs_ever_use_the_gpu_with_real_workers(fleet: Fleet) -> None:
    seed = 7
    rng = random.Random(seed)
    runs = [fleet.run(0.5) for _ in range(30)]
    for _ in range(12):
        worker = _until(fleet.worker, "the worker")
        time.sleep(rng.random() * 6)
        what = rng.choice(["worker", "run", "parent"])
        with contextlib.suppress(psutil.NoSuchProcess):
            if what == "parent":
                assert fleet.parent is not None
                os.kill(fleet.parent.pid, signal.SIGKILL)
                fleet.parent.wait()
                fleet.start()
            elif what == "worker":
                worker.kill()
            else:
                for child in worker.children():
                    child.kill()
        assert not list(fleet.folder.glob("violation-*")), f"seed {seed}"
    _until(lambda: all(fleet.state(run).is_final() for run in runs), "all runs end", 600)
    assert not list(fleet.folder.glob("violation-*")), f"seed {seed}"
    # the others lost their worker, which is reported
    assert {fleet.state(run).name for run in runs} <= {"Completed", "Crashed"}
