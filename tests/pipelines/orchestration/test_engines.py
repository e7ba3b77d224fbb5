"""Large intakes on a real Dask cluster of two workers, with a real Prefect server: the same bytes, whatever dies."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from pipelines.datasets.ingest import add_delivery
from pipelines.errors import ServiceError, UsageError
from pipelines.local.compute_settings import FanOut
from pipelines.local.workspace import Workspace
from pipelines.orchestration import engines
from pipelines.registry.slot import Slot
from tests.support.clips import voice, wav
from tests.support.dask_cluster import LIMIT, dask_cluster
from tests.support.deliveries import write_delivery
from tests.support.engine_run import CHUNKS
from tests.support.prefect_server import prefect_server
from tests.support.workspaces import isolate

SLOT = Slot("plant-a", "asr")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Environment of processes that use a Prefect server."""
    pytest.importorskip("prefect_dask", reason="prefect-dask is not installed: pip install 'elp-foundry[dask]'")
    folder = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        with prefect_server(folder) as environment:
            yield environment


@pytest.fixture(scope="module")
def scheduler(prefect: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Dask scheduler on this machine, with two workers; they see nothing of the tests' folders."""
    # one death is enough to see what comes after it
    environment = {**prefect, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with dask_cluster(environment, tmp_path_factory.mktemp("dask")) as address:
        yield address


def wait_until(happened: Any, what: str) -> None:
    ends = time.monotonic() + LIMIT
    while not happened():
        assert time.monotonic() < ends, f"waited {LIMIT:.0f} s for {what}"
        time.sleep(0.05)


def run_case(environment: Mapping[str, str], address: str, case: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.support.engine_run", "dask", address, case, str(folder)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def chunk_runs(api: str) -> int:
    """Return how many completed task runs of chunks Prefect has."""
    wanted = {"task_runs": {"name": {"like_": "chunk-"}, "state": {"type": {"any_": ["COMPLETED"]}}}}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{api}/task_runs/count", json.dumps(wanted).encode(), headers)
    with urllib.request.urlopen(request, timeout=LIMIT) as response:
        return int(response.read())


def digests(workspace: Workspace) -> dict[str, str]:
    files = sorted((workspace.root / "data").rglob("*.parquet"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_an_intake_on_dask_makes_the_bytes_of_an_intake_by_processes(
    workspace: Workspace, prefect: Mapping[str, str], scheduler: str, tmp_path: Path
) -> None:
    spoilt = {
        "anna_1": {"bytes": b"RIFF and nothing that follows"},
        "bert_1": {"bytes": wav(voice(0.5, 300, 7), 44_100, kind="FLAC")},
        "carla_0": {"bytes": wav(voice(0.5, 310, 8), 8_000)},
    }
    source = write_delivery(tmp_path / "delivery", each=5, **spoilt)
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "-q", str(workspace.root), str(other)], check=True)
    expected = add_delivery(workspace, SLOT, source)
    assert expected.quarantined >= 1
    (other / "elp.yaml").write_text(f"remote: .elp/remote\nfan_out: {{engine: dask, address: '{scheduler}'}}\n")
    subprocess.run(["git", "-C", str(other), "commit", "-qam", "Use the cluster"], check=True)
    command = [sys.executable, "-m", "tests.support.ingest_run", str(other), str(SLOT), str(source)]
    small = {**prefect, "ELP_TEST_SMALL": "1"}
    done = subprocess.run(command, env=small, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    # Prefect shows four chunks of five clips each
    wait_until(lambda: chunk_runs(prefect["PREFECT_API_URL"]) == 4, "the task runs of the chunks")
    made = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (other / "data").rglob("*.parquet")}
    assert len(made) >= 2
    assert made == digests(workspace)


@pytest.mark.slow
def test_a_chunk_that_fails_is_tried_again_and_one_that_ends_workers_is_done_here(
    prefect: Mapping[str, str], scheduler: str, tmp_path: Path
) -> None:
    answer = run_case(prefect, scheduler, "numbers", tmp_path)
    assert "error" not in answer, answer
    assert answer["found"] == [2 * number for chunk in CHUNKS for number in chunk]
    said = "\n".join(answer["said"])
    assert said.count("a chunk failed on the Dask cluster and is tried again (OSError") == 1
    # chunks that waited at the dead worker may count as its end, too
    assert "a chunk ended the Dask workers that tried it" in said


@pytest.mark.slow
def test_a_worker_with_other_packages_is_refused_by_name(
    prefect: Mapping[str, str], scheduler: str, tmp_path: Path
) -> None:
    answer = run_case(prefect, scheduler, "other release", tmp_path)
    assert answer["error"] == "UsageError", answer
    assert "of the engine has elp-foundry 0." in answer["text"]
    assert "the flow run has elp-foundry 9." in answer["text"]


@pytest.mark.slow
def test_nothing_of_a_run_s_own_cluster_outlives_the_run(prefect: Mapping[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.engine_run", "dask", "", "forever", str(tmp_path)]
    log = (tmp_path / "log").open("wb")
    with log, subprocess.Popen(command, env=prefect, cwd=ROOT, stdout=log, stderr=log) as run:
        wait_until((tmp_path / "working").exists, "the first chunk")
        children = psutil.Process(run.pid).children(recursive=True)
        assert len(children) >= 2
        os.kill(run.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=LIMIT)
    assert alive == []


def test_the_packages_of_an_engine_are_named_if_they_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engines.chunk_map_of(FanOut(), print) is None
    monkeypatch.setitem(sys.modules, "prefect_ray", None)
    with pytest.raises(UsageError, match=r"fan_out.engine is ray.*pip install 'elp-foundry\[ray\]'"):
        engines.chunk_map_of(FanOut("ray"), print)


def test_a_scheduler_that_is_gone_is_a_service_that_is_down() -> None:
    class Gone:
        def submit(self, *_: object) -> None:
            raise RuntimeError("Client is closed")

    said: list[str] = []
    engine = engines._Engine("Dask", cast(Any, Gone()), (MemoryError,), said.append, bytes)
    with pytest.raises(ServiceError, match=r"the Dask cluster takes no work any more \(RuntimeError: Client is closed"):
        list(engines._in_order(engine, len, iter([[1]])))
    lost = SimpleNamespace(result=lambda: (_ for _ in ()).throw(CancelledError()))
    with pytest.raises(ServiceError, match="takes no work any more"):
        engine.result(b"", b"", cast(Any, lost))
    assert said == ["a chunk failed on the Dask cluster and is tried again (CancelledError: )"]


class Counting:
    """Stands for an engine: keeps what was submitted and not asked for yet."""

    work = pickle.dumps(len)

    def __init__(self) -> None:
        self.waiting: list[int] = []
        self.most, self.most_bytes = 0, 0

    def submit(self, work: bytes, items: bytes) -> bytes:
        assert work == self.work
        self.waiting.append(len(items))
        self.most, self.most_bytes = max(self.most, len(self.waiting)), max(self.most_bytes, sum(self.waiting))
        return items

    def result(self, work: bytes, items: bytes, future: bytes) -> list[int]:
        assert work == self.work
        assert items is future
        return [self.waiting.pop(0)]


@pytest.mark.parametrize(("size", "most"), [(10, engines.AHEAD), (2**20, 8)])
def test_what_is_ahead_is_bounded(monkeypatch: pytest.MonkeyPatch, size: int, most: int) -> None:
    monkeypatch.setattr(engines, "AHEAD_BYTES", 8 * 2**20)
    engine: Any = Counting()
    chunks = (bytes(size) for _ in range(100))
    assert len(list(engines._in_order(engine, len, chunks))) == 100
    assert engine.most == most
    assert engine.most_bytes <= engines.AHEAD_BYTES + size + 100
