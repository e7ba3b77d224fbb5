"""`elp worker` under kill -9: no GPU is ever used by two runs, and every worker comes back."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psutil
import pytest

from pipelines.errors import ServiceError, WorkerEnded, WorkspaceError
from pipelines.local import worker_host
from pipelines.local.gpus import Gpu
from pipelines.local.worker_home import WorkerSettings, read_worker, worker_home, write_worker
from pipelines.local.worker_host import WorkerHost, run_worker
from pipelines.local.worker_plan import WorkerSpec, plan_workers
from pipelines.local.worker_runs import end_processes_of
from pipelines.registry.signing.key_folder import new_key, retire_key, revoke_key
from pipelines.registry.signing.keys import TRUSTED_FILE, load_trusted_keys, write_keys
from pipelines.registry.worker_request import WORKER_ROLES, worker_key_name
from pipelines.release import installed_release
from tests.support.pretended_prefect import answering

ROOT = Path(__file__).resolve().parents[3]
GPUS = ("GPU-a", "GPU-b")
PARENT = """
import sys
from pathlib import Path
from pipelines.local import supervision, worker_host, worker_plan
from pipelines.local.gpus import find_gpus
from pipelines.local.worker_home import read_worker

supervision.PAUSES = (0.0,)
worker_host._TRUST_EVERY = 0.0
worker_plan.WorkerSpec.command = lambda self: [sys.executable, "-m", "tests.support.pretended_worker", sys.argv[2]]
home = Path(sys.argv[1])
settings = read_worker(home)
specs = worker_plan.plan_workers(find_gpus(), settings.name)[1:]
sys.exit(worker_host.run_worker(home, settings, specs, lambda line: print(line, flush=True)))
"""


@dataclass
class PrefectStandIn:
    """Answers as Prefect's API does about flow runs, and keeps the states that are set; as MLflow's about keys."""

    api: str = ""
    runs: list[dict[str, Any]] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    workers: set[str] = field(default_factory=set)
    """Those that reported to it and were not deleted."""
    keys: str = write_keys(())
    release: str = ""

    def answer(self, path: str, body: Any) -> Any:
        if path.endswith("/keys"):
            return {"keys": self.keys, "release": self.release}
        if path.endswith("/set_state"):
            self.states[path.split("/")[-2]] = body["state"]["name"]
            return {}
        if body is None and "/workers/" in path:
            self.workers.discard(unquote(path.rpartition("/")[2]))
            return None
        return [run for run in self.runs if run["id"] not in self.states]


@pytest.fixture
def prefect() -> Iterator[PrefectStandIn]:
    stand_in = PrefectStandIn()
    with answering(lambda path, _, body: (200, stand_in.answer(path, body))) as stand_in.api:
        yield stand_in


@dataclass
class Machine:
    """A machine with two pretended GPUs whose `elp worker` is started again when it has ended, as systemd does."""

    home: Path
    marks: Path
    environment: dict[str, str]
    parent: subprocess.Popen[str]

    @property
    def violations(self) -> list[str]:
        return [path.name for path in self.marks.glob("violation-*")]

    def workers(self) -> list[int]:
        with contextlib.suppress(OSError, ValueError):
            return [row["process"]["pid"] for row in json.loads((self.home / "processes.json").read_text())]
        return []

    def runs(self) -> list[int]:
        return [child.pid for worker in self.workers() for child in _children(worker)]

    def turns(self, gpu: str) -> int:
        path = self.marks / f"{gpu}.turns"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def start(self) -> None:
        command = [sys.executable, "-c", PARENT, str(self.home), str(self.marks)]
        with (self.home / "parent.log").open("a") as log:
            self.parent = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, text=True)

    def kill_one(self, rng: random.Random) -> str:
        """Kill one process of the machine; return what it was."""
        what = rng.choice(["run", "worker", "parent", "worker and parent", "all"])
        pids = {
            "run": self.runs()[:1], "worker": self.workers()[:1], "parent": [self.parent.pid],
            "worker and parent": [*self.workers()[-1:], self.parent.pid],
            "all": [self.parent.pid, *self.workers(), *self.runs()],
        }[what]  # fmt: skip
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.parent.pid in pids:
            self.parent.wait()
            self.start()
        return what


@pytest.fixture
def machine(tmp_path: Path, prefect: PrefectStandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setenv("ELP_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("ELP_TEST_GPUS", ",".join(GPUS))
    home, marks = tmp_path / "home", tmp_path / "marks"
    marks.mkdir()
    write_worker(home, WorkerSettings("host", prefect.api, prefect.api.removesuffix("/api")))
    for role in WORKER_ROLES:
        new_key(home / "keys", worker_key_name("host", role), (role,))
    made = Machine(home, marks, {**os.environ, "PYTHONPATH": str(ROOT)}, None)
    made.start()
    try:
        yield made
    finally:
        made.parent.kill()
        made.parent.wait()
        # also one that was started and not yet recorded
        end_processes_of(made.home)


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


def _until(true: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def _free(machine: Machine, gpu: str) -> bool:
    with (Path(machine.environment["ELP_GPU_LOCKS"]) / f"{gpu}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.faults])])
def test_no_two_runs_ever_use_one_gpu(machine: Machine, kills: int) -> None:
    seed = 20240607 + kills
    rng, done = random.Random(seed), []
    for _ in range(kills):
        before = {gpu: machine.turns(gpu) for gpu in GPUS}
        _until(lambda before=before: all(machine.turns(gpu) > before[gpu] for gpu in GPUS), "both GPUs work again")
        time.sleep(rng.random() * 0.4)
        done.append(machine.kill_one(rng))
        assert machine.violations == [], f"seed {seed}: {done}"
    # what is left, all at once
    for pid in (machine.parent.pid, *machine.workers(), *machine.runs()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    died = time.monotonic()
    _until(lambda: all(_free(machine, gpu) for gpu in GPUS), "the GPUs are free", 20)
    # at once by the kernel, on a busy machine after some seconds; by a missing heartbeat after 90 s
    assert time.monotonic() - died < 10.0
    assert machine.violations == []


def test_the_checker_sees_two_runs_on_one_gpu_when_the_lock_is_off(machine: Machine) -> None:
    _until(lambda: machine.turns("GPU-a"), "a run")
    environment = {**machine.environment, "CUDA_VISIBLE_DEVICES": "GPU-a", "PREFECT__FLOW_RUN_ID": "x"}
    command = [sys.executable, "-m", "tests.support.pretended_worker", str(machine.marks)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert machine.violations == []
    # until it falls into a run of the worker, which are most of the time there
    _until(
        lambda: (
            subprocess.run(command, cwd=ROOT, env={**environment, "ELP_GPU_LOCK": "off"}, check=True)
            and machine.violations
        ),
        "the checker saw nothing",
    )


def test_a_run_of_a_killed_worker_is_reported_and_one_that_had_not_begun_waits_again(
    machine: Machine, prefect: PrefectStandIn
) -> None:
    _until(lambda: machine.turns("GPU-a"), "the first run")

    def run(name: str, state: str, worker: str) -> dict[str, Any]:
        moment = {"timestamp": "2024-06-07T00:00:00+00:00"}
        labels = {"prefect.worker.name": worker}
        return {"id": name, "name": name, "state_type": state, "state": moment, "labels": labels}

    prefect.runs += [run("mine", "RUNNING", "host:GPU-a"), run("claimed", "PENDING", "host:GPU-a")]
    prefect.runs += [run("leaving", "CANCELLING", "host:GPU-a"), run("other", "RUNNING", "host:GPU-b")]
    prefect.runs += [{"id": "none", "name": "none", "state_type": "PENDING", "labels": None}]
    os.kill(machine.workers()[0], signal.SIGKILL)
    _until(lambda: len(prefect.states) == 3, "reported")
    before = machine.turns("GPU-a")
    _until(lambda: machine.turns("GPU-a") > before, "the next worker")
    assert prefect.states == {"mine": "Crashed", "claimed": "AwaitingRetry", "leaving": "Cancelled"}


def test_sigterm_ends_the_workers_and_their_runs_and_reports_them(machine: Machine, prefect: PrefectStandIn) -> None:
    _until(lambda: all(map(machine.turns, GPUS)), "runs")
    processes = [psutil.Process(pid) for pid in (*machine.workers(), *machine.runs())]
    prefect.runs.append(
        {"id": "mine", "name": "mine", "state_type": "RUNNING", "labels": {"prefect.worker.name": "host:GPU-b"}}
    )
    # it would be reported as lost otherwise
    prefect.workers = {"host:GPU-a", "host:GPU-b", "other:GPU-c"}
    machine.parent.send_signal(signal.SIGTERM)
    assert machine.parent.wait(60) == 0
    assert prefect.workers == {"other:GPU-c"}
    assert not any(process.is_running() for process in processes)
    assert prefect.states == {"mine": "Crashed"}
    assert all(_free(machine, gpu) for gpu in GPUS)


@pytest.mark.parametrize("end", [retire_key, revoke_key])
def test_a_worker_that_the_server_has_ended_stops_and_leaves_its_runs_to_others(
    machine: Machine, prefect: PrefectStandIn, tmp_path: Path, end: Callable[[Path, str], object]
) -> None:
    """It would take each run of the queue, and fail it within seconds."""
    _until(lambda: all(map(machine.turns, GPUS)), "runs")
    processes = [psutil.Process(pid) for pid in (*machine.workers(), *machine.runs())]
    prefect.runs.append(
        {"id": "mine", "name": "mine", "state_type": "RUNNING", "labels": {"prefect.worker.name": "host:GPU-b"}}
    )
    server = shutil.copytree(machine.home / "keys", tmp_path / "server")
    end(server, "host-verdict")
    prefect.keys = write_keys(load_trusted_keys(server).keys)
    assert machine.parent.wait(60) != 0
    assert not any(process.is_running() for process in processes)
    assert prefect.states == {"mine": "Crashed"}
    said = (machine.home / "parent.log").read_text()
    assert "the key host-verdict of this worker, so it cannot sign a verdict; enrol it again" in said
    machine.start()
    assert machine.parent.wait(60) != 0


def test_a_worker_with_another_release_than_the_server_finishes_its_run_and_ends(
    machine: Machine, prefect: PrefectStandIn
) -> None:
    _until(lambda: all(map(machine.turns, GPUS)), "runs")
    labels = {"prefect.worker.name": "host:GPU-b"}
    others = {"id": "other", "name": "other", "state_type": "RUNNING", "labels": labels}
    prefect.runs = [
        others | {"parameters": {"release": "elp 9.9, recipe 7"}},
        others | {"id": "mine", "name": "mine", "parameters": {"release": installed_release()}},
    ]
    prefect.release = "elp 9.9, recipe 7"
    log = machine.home / "parent.log"
    _until(lambda: f"and this worker {installed_release()}; it ends when its run" in log.read_text(), "the notice")
    assert machine.parent.poll() is None
    prefect.runs = prefect.runs[:1]
    assert machine.parent.wait(60) != 0
    # what it could not do waits for another worker
    assert prefect.states == {"other": "Crashed"}
    assert f"this worker has {installed_release()}, and the server runs with elp 9.9, recipe 7" in log.read_text()
    prefect.release = installed_release()
    machine.start()
    _until(machine.runs, "runs again")


def _host(home: Path, prefect: PrefectStandIn, log: Callable[[str], None]) -> tuple[WorkerHost, WorkerSettings]:
    (home / "keys").mkdir()
    (home / "keys" / TRUSTED_FILE).write_text(write_keys(()))
    settings = WorkerSettings("host", prefect.api, prefect.api.removesuffix("/api"))
    return WorkerHost(home, prefect.api, plan_workers([], "host"), {}, log), settings


def test_a_worker_upgraded_before_the_server_takes_no_further_runs_and_ends(
    tmp_path: Path, prefect: PrefectStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its runs are new processes, and each would go back to its queue for days."""
    old, said = installed_release(), list[str]()
    host, settings = _host(tmp_path, prefect, said.append)
    monkeypatch.setattr(worker_host, "_TRUST_EVERY", 0.0)
    run = {"state_type": "RUNNING", "labels": {"prefect.worker.name": "host:elp-cpu"}, "parameters": {"release": old}}
    prefect.release, prefect.runs = old, [run | {"id": "begun before"}]
    host.require_trust(settings)
    monkeypatch.setattr(worker_host, "installed_release", lambda: "elp 9.9, recipe 7")
    for later in range(3):
        host.require_trust(settings)
        # sent back soon
        prefect.runs[1:] = [run | {"id": f"begun {later} later"}]
    assert said == [f"the server has {old}, and this worker elp 9.9, recipe 7; it ends when its run has ended"]
    del prefect.runs[0]
    with pytest.raises(WorkerEnded, match=rf"this worker has elp 9.9, recipe 7, and the server runs with {old}"):
        host.require_trust(settings)


def test_a_worker_upgraded_after_the_server_ends_to_start_again(
    tmp_path: Path, prefect: PrefectStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, said = installed_release(), list[str]()
    host, settings = _host(tmp_path, prefect, said.append)
    monkeypatch.setattr(worker_host, "_TRUST_EVERY", 0.0)
    run = {"state_type": "RUNNING", "labels": {"prefect.worker.name": "host:elp-cpu"}, "parameters": {"release": old}}
    prefect.release, prefect.runs = "elp 9.9, recipe 7", [run | {"id": "begun before"}]
    monkeypatch.setattr(worker_host, "installed_release", lambda: prefect.release)
    host.require_trust(settings)
    assert said == [f"the server has elp 9.9, recipe 7, and this worker {old}; it ends when its run has ended"]
    del prefect.runs[0]
    with pytest.raises(WorkerEnded, match=r", and the server runs with elp 9.9, recipe 7"):
        host.require_trust(settings)


def test_one_home_has_one_elp_worker(machine: Machine) -> None:
    _until(machine.workers, "the workers")
    with pytest.raises(ServiceError, match=r"another elp worker runs with .*--home"):
        run_worker(machine.home, read_worker(machine.home), plan_workers([], "host"), print)


def test_a_machine_has_a_worker_for_each_gpu_or_one_for_the_cpu() -> None:
    two = plan_workers([Gpu("GPU-a", 24), Gpu("MIG-b", 8)], "host", shares=2)
    assert [(spec.name, spec.worker, spec.limit) for spec in two] == [
        ("elp-cpu", "host:elp-cpu", 4), ("elp-gpu", "host:GPU-a", 2), ("elp-gpu.2", "host:MIG-b", 2),
    ]  # fmt: skip
    assert [spec.environment().get("CUDA_VISIBLE_DEVICES") for spec in two] == ["", "GPU-a", "MIG-b"]
    assert two[1].environment()["ELP_GPU_SHARES"] == "2"
    none = plan_workers([], "host", jobs=3)
    assert [(spec.worker, spec.limit) for spec in none] == [("host:elp-cpu", 4), ("host:elp-gpu", 3)]
    assert "CUDA_VISIBLE_DEVICES" not in none[1].environment()
    assert plan_workers([], "host", cpu=True)[1].environment()["CUDA_VISIBLE_DEVICES"] == ""
    assert "--limit 2" in " ".join(two[1].command())
    assert WorkerSpec("x", "elp-gpu", "w", 1, queues=("a", "b")).command()[-4:] == [
        "--work-queue",
        "a",
        "--work-queue",
        "b",
    ]


def test_the_home_of_a_worker_is_private_and_a_missing_or_damaged_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    home = worker_home()
    assert home == tmp_path / "state" / "elp-worker"
    with pytest.raises(WorkspaceError, match="is no enrolled worker; on the control host run: elp worker invite"):
        read_worker(home)
    settings = WorkerSettings("host", "http://p/api", "http://m", password="secret", username="host")
    write_worker(home, settings)
    assert read_worker(home) == settings
    assert (home / "worker.json").stat().st_mode & 0o777 == 0o600
    for text in ("", "[]", "{}", '{"name": 5}'):
        (home / "worker.json").write_text(text)
        with pytest.raises(WorkspaceError, match="enrol this worker again"):
            read_worker(home)
