"""One GPU, one job: who holds it, what frees it, and which GPU a process means."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import ServiceError, UsageError
from pipelines.local import gpu_lock, gpus
from pipelines.local.gpu_lock import GpuClaim, hold_gpu, lock_folder
from pipelines.local.gpus import Gpu, find_gpus
from pipelines.locks import held_descriptors, let_go

Holders = list[subprocess.Popen[str]]

HOLD = """
import os, sys, time
from pipelines.local.gpu_lock import hold_gpu
claim = hold_gpu("run-1")
if sys.argv[1] == "fork":
    if (child := os.fork()) == 0:
        time.sleep(60)
        os._exit(0)
    print("child", child, flush=True)
print(claim.gpu or "none", claim.taken, os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
time.sleep(600 if claim.gpu and sys.argv[1] != "end" else 0)
"""


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELP_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("ELP_TEST_GPUS", "GPU-a:24, GPU-b:8")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("ELP_GPU_SHARES", raising=False)


@pytest.fixture
def holders() -> Iterator[Holders]:
    started: Holders = []
    yield started
    for process in started:
        process.kill()
        # not until its end: a child of it may have the other end of the pipe
        process.stdout.close()
        process.wait()


def hold(holders: Holders, visible: str | None, how: str = "hold", **more: str) -> str:
    """Start a process that holds what it may; return its line."""
    environment = {**os.environ, **more} | ({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    command = [sys.executable, "-c", HOLD, how]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    holders.append(process)
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_second_process_is_sent_away_and_told_who_has_it(holders: Holders) -> None:
    assert hold(holders, "GPU-a") == "GPU-a  GPU-a"
    assert hold(holders, "GPU-a") == f"none GPU-a is in use by process {holders[0].pid} (run run-1) GPU-a"
    assert hold(holders, "GPU-b") == "GPU-b  GPU-b", "another GPU is free"


@pytest.mark.parametrize("how", ["hold", "fork"])
def test_a_killed_process_frees_it_even_if_its_children_live(holders: Holders, how: str) -> None:
    line = hold(holders, "GPU-a", how)
    child = int(line.split()[1]) if line.startswith("child") else 0
    holders[0].kill()
    died = time.monotonic()
    holders[0].wait()
    while (claim := _claim_here("GPU-a")).taken:
        # the kernel frees it when the process is gone, on a busy machine after some seconds
        assert time.monotonic() - died < 10.0
        time.sleep(0.01)
    assert claim.gpu == "GPU-a"
    if child:
        os.kill(child, 0)
        os.kill(child, 9)


def _claim_here(uuid: str) -> GpuClaim:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", uuid)
        claim = hold_gpu()
    if claim.gpu:
        gpu_lock.let_go(lock_folder() / f"{uuid}.lock")
    return claim


def test_without_a_choice_a_process_takes_a_free_gpu_and_sees_no_other(holders: Holders) -> None:
    assert hold(holders, None) == "GPU-a  GPU-a"
    assert hold(holders, None) == "GPU-b  GPU-b"
    assert hold(holders, None).startswith("none GPU-a is in use by process ")
    assert "; GPU-b is in use by process" in hold(holders, None)


@pytest.mark.parametrize(
    ("visible", "gpu"),
    [("1", "GPU-b"), ("GPU-b", "GPU-b"), ("0,1", "GPU-a"), ("7", "none"), ("MIG-x/1/0", "MIG-x/1/0")],
)
def test_a_gpu_is_named_as_cuda_names_it(holders: Holders, visible: str, gpu: str) -> None:
    assert hold(holders, visible, "end").split()[0] == gpu


@pytest.mark.parametrize("visible", ["", "-1", " ", "NoDevFiles"])
def test_a_process_on_the_cpu_holds_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, visible: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert hold_gpu() == GpuClaim()
    assert not (tmp_path / "locks").exists()


def test_a_machine_without_gpus_and_a_cluster_that_gives_them_out_hold_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ELP_GPU_LOCK", "off")
    assert hold_gpu() == GpuClaim()
    monkeypatch.delenv("ELP_GPU_LOCK")
    monkeypatch.setenv("ELP_TEST_GPUS", "")
    assert hold_gpu() == GpuClaim()
    assert not (tmp_path / "locks").exists()


def test_n_shares_are_n_jobs_and_a_whole_gpu_is_never_shared(holders: Holders) -> None:
    shared = {"ELP_GPU_SHARES": "2"}
    assert [hold(holders, "GPU-a", **shared).split()[0] for _ in range(3)] == ["GPU-a", "GPU-a", "none"]
    assert hold(holders, "GPU-a").startswith("none GPU-a is in use by process"), "the whole of it"
    assert hold(holders, "GPU-b").startswith("GPU-b")
    assert hold(holders, "GPU-b", **shared).startswith("none")
    holders[0].kill()
    holders[0].wait()
    assert hold(holders, "GPU-a", **shared).startswith("GPU-a")


def test_a_share_is_one_of_the_gpu_with_the_fewest_jobs(holders: Holders) -> None:
    shared = {"ELP_GPU_SHARES": "2"}
    gpus = [hold(holders, None, **shared).split()[0] for _ in range(5)]
    assert gpus == ["GPU-a", "GPU-b", "GPU-a", "GPU-b", "none"]
    for ended in (0, 1, 3):
        holders[ended].kill()
        holders[ended].wait()
    # the first share of GPU-a is free, and GPU-b is idle
    assert [hold(holders, None, **shared).split()[0] for _ in range(3)] == ["GPU-b", "GPU-a", "GPU-b"]


@pytest.mark.parametrize(("own", "gpus"), [("GPU-a", "GPU-a,GPU-d"), ("GPU-b", "GPU-b,GPU-a,GPU-c,GPU-d")])
def test_a_run_on_several_gpus_gets_none_that_is_smaller_than_its_own(
    monkeypatch: pytest.MonkeyPatch, own: str, gpus: str
) -> None:
    """Its work queue was chosen by what one process needs."""
    monkeypatch.setenv("ELP_TEST_GPUS", "GPU-a:24,GPU-b:8,GPU-c:16,GPU-d:23.9")
    number = gpus.count(",") + 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", own)
    if number < 4:
        with pytest.raises(ServiceError, match=f"needs {number + 1} GPUs, and this machine has {number} with"):
            hold_gpu("run", number + 1)
    assert hold_gpu("run", number) == GpuClaim(gpus)
    for uuid in gpus.split(","):
        let_go(lock_folder() / f"{uuid}.lock")


@pytest.mark.parametrize("gpus", ["GPU-b,GPU-d", "GPU-b,GPU-c,GPU-d", "GPU-a,GPU-b,GPU-c,GPU-d"])
def test_with_elp_up_a_run_on_several_gpus_gets_the_largest(monkeypatch: pytest.MonkeyPatch, gpus: str) -> None:
    """Its worker has all GPUs, so none of them is a measure."""
    monkeypatch.setenv("ELP_TEST_GPUS", "GPU-a:8,GPU-b:24,GPU-c:16,GPU-d:23.9")
    assert hold_gpu("run", gpus.count(",") + 1) == GpuClaim(gpus)
    for uuid in gpus.split(","):
        let_go(lock_folder() / f"{uuid}.lock")


def test_with_elp_up_any_gpus_of_the_size_are_taken(holders: Holders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELP_TEST_GPUS", "GPU-a:24,GPU-b:8,GPU-c:24,GPU-d:24")
    assert hold(holders, "GPU-a") == "GPU-a  GPU-a"
    assert hold_gpu("run", 2) == GpuClaim("GPU-c,GPU-d")
    for uuid in ("GPU-c", "GPU-d"):
        let_go(lock_folder() / f"{uuid}.lock")


def test_the_lock_of_a_process_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")
    assert hold_gpu() == hold_gpu() == GpuClaim("GPU-a")
    gpu_lock.let_go(lock_folder() / "GPU-a.lock")


def test_a_folder_that_cannot_be_used_is_an_error_and_no_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ELP_GPU_LOCKS", str(tmp_path / "file"))
    with pytest.raises(ServiceError, match=r"lock of the GPU cannot be taken: .*set ELP_GPU_LOCKS"):
        hold_gpu()


def test_a_link_in_place_of_the_lock_is_not_followed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (target := tmp_path / "precious").write_text("mine")
    (lock_folder() / "GPU-a.lock").symlink_to(target)
    with pytest.raises(ServiceError, match=r"lock of the GPU cannot be taken"):
        hold_gpu()
    assert target.read_text() == "mine"


@pytest.mark.parametrize("text", ["0:24", "GPU-a:x", "../../etc:8"])
def test_pretended_gpus_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ELP_TEST_GPUS", text)
    with pytest.raises(UsageError, match=r"ELP_TEST_GPUS: .* expected such as GPU-a:24"):
        find_gpus()


@pytest.mark.parametrize("text", ["x", "0", "-1"])
def test_a_bad_number_of_shares_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ELP_GPU_SHARES", text)
    with pytest.raises(ServiceError, match=r"ELP_GPU_SHARES is .*expected how many"):
        hold_gpu()


class Driver:
    """Answers as pynvml does, for a GPU in MIG mode with a gap, and for one without MIG."""

    NVMLError = type("NVMLError", (Exception,), {})
    NVML_DEVICE_MIG_ENABLE = 1

    # ruff: noqa: N802
    def nvmlInit(self) -> None: ...

    def nvmlShutdown(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return f"GPU-{index}"

    def nvmlDeviceGetMigMode(self, handle: str) -> list[int]:
        if handle == "GPU-1":
            raise self.NVMLError
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: str) -> int:
        return 3

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, index: int) -> str:
        if index == 1:
            raise self.NVMLError
        return f"MIG-{index}"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> object:
        return type("Memory", (), {"total": (20 if handle.startswith("MIG") else 80) * 2**30})

    def nvmlDeviceGetUUID(self, handle: str) -> bytes | str:
        return handle.encode() if handle.startswith("MIG") else handle

    def nvmlDeviceGetName(self, handle: str) -> str:
        return "H200"


def test_the_parts_of_a_divided_gpu_are_gpus_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELP_TEST_GPUS")
    monkeypatch.setitem(sys.modules, "pynvml", Driver())
    assert find_gpus() == (Gpu("MIG-0", 20, "H200"), Gpu("MIG-2", 20, "H200"), Gpu("GPU-1", 80, "H200"))


def test_a_driver_without_its_package_is_named_and_none_is_a_machine_without_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ELP_TEST_GPUS")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(gpus, "_DRIVER", tmp_path / "version")
    assert find_gpus() == ()
    (tmp_path / "version").touch()
    with pytest.raises(ServiceError, match=r"nvidia-ml-py .*is missing; install it with: pip install"):
        find_gpus()
    assert hold_gpu() == GpuClaim(), "as before there was a lock"


def test_a_run_gets_all_the_gpus_that_it_needs_or_none(holders: Holders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    assert hold(holders, "GPU-a") == "GPU-a  GPU-a"
    claim = hold_gpu("run-2", 2)
    assert (claim.gpu, claim.taken) == ("", f"GPU-a is in use by process {holders[0].pid} (run run-1)")
    assert hold(holders, "GPU-b") == "GPU-b  GPU-b", "it keeps none of them while it waits"
    for holder in holders:
        holder.kill()
        holder.wait()
    assert hold_gpu("run-2").gpu == "GPU-b"
    # more than it has already
    assert hold_gpu("run-2", 2) == GpuClaim("GPU-b,GPU-a")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-b,GPU-a"
    with pytest.raises(ServiceError, match="the run needs 3 GPUs, and this machine has 2"):
        hold_gpu("run-2", 3)
    child = subprocess.Popen(["sleep", "600"], pass_fds=held_descriptors())
    try:
        for uuid in ("GPU-a", "GPU-b"):
            let_go(lock_folder() / f"{uuid}.lock")
        assert hold(holders, "GPU-a").startswith("none"), "the processes of a training hold it, too"
    finally:
        child.kill()
        child.wait()
    assert hold(holders, "GPU-a") == "GPU-a  GPU-a"
