"""Processes that hold a GPU or wait for one are killed a hundred times: no GPU ever has two, and none stays held."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[2]
GPUS = ("GPU-a", "GPU-b", "GPU-c")
AT_ONCE = 8
KILLS = 100
WAITER = """
import fcntl, os, sys, time
from pathlib import Path
from pipelines.local.gpu_lock import hold_gpu

marks, number = Path(sys.argv[1]), sys.argv[2]
# before the lock of the GPU: the kernel closes the descriptors of a killed process in their order
used = {gpu: (marks / f"{gpu}.used").open("a") for gpu in sys.argv[3:]}
while hold_gpu("run").taken:
    (marks / f"waits-{number}").touch()
    time.sleep(0.01)
gpu = os.environ["CUDA_VISIBLE_DEVICES"]
try:
    # a POSIX record lock, which has nothing in common with flock
    fcntl.lockf(used[gpu], fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    (marks / f"violation-{gpu}-{number}").touch()
with (marks / f"{gpu}.turns").open("a") as turns:
    turns.write(f"{os.getpid()}\\n")
time.sleep(3600)
"""
"""Asks until it has a GPU, then takes the checker's own lock on it, and keeps both."""


class Contest:
    """More processes than GPUs, of which each waits or holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = iter(range(10_000))
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        for _ in range(AT_ONCE):
            self.start()

    def start(self) -> None:
        number = next(self.numbers)
        command = [sys.executable, "-c", WAITER, str(self.folder), str(number), *GPUS]
        self.processes[number] = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})

    def turns(self) -> list[int]:
        """Return the process ids that have used a GPU, one for each time."""
        files = [self.folder / f"{gpu}.turns" for gpu in GPUS]
        return [int(line) for file in files if file.exists() for line in file.read_text().splitlines()]

    def until_settled(self) -> float:
        """Wait until all GPUs are held and all others wait; return the seconds."""
        begin = time.monotonic()
        while True:
            used, pids = set(self.turns()), {process.pid: number for number, process in self.processes.items()}
            holding = used & set(pids)
            waiting = [n for pid, n in pids.items() if pid not in used and (self.folder / f"waits-{n}").exists()]
            if len(holding) == len(GPUS) and len(holding) + len(waiting) == AT_ONCE:
                return time.monotonic() - begin
            assert time.monotonic() - begin < 120, (holding, waiting)
            time.sleep(0.02)

    def kill(self, number: int) -> bool:
        """Kill one and start another; return whether the killed one held a GPU."""
        process = self.processes.pop(number)
        process.kill()
        process.wait()
        held = process.pid in self.turns()
        self.start()
        return held


@pytest.fixture
def contest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Contest]:
    monkeypatch.setenv("ELP_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("ELP_TEST_GPUS", ",".join(GPUS))
    for name in ("CUDA_VISIBLE_DEVICES", "ELP_GPU_SHARES", "ELP_GPU_LOCK"):
        monkeypatch.delenv(name, raising=False)
    (marks := tmp_path / "marks").mkdir()
    made = Contest(marks)
    try:
        yield made
    finally:
        for process in made.processes.values():
            process.kill()
            process.wait()


def test_a_hundred_kills_of_holders_and_waiters(contest: Contest) -> None:
    seed = int(os.environ.get("ELP_FAULT_SEED") or time.time_ns() % 10**6)
    print(f"ELP_FAULT_SEED={seed}")
    pick, holders = random.Random(seed), 0
    for number in range(KILLS):
        if number % 3 == 0:
            # else the kill falls into a start, or into the moment in which the GPU changes hands
            contest.until_settled()
        time.sleep(pick.uniform(0, 0.05))
        holders += contest.kill(pick.choice(sorted(contest.processes)))
        assert not list(contest.folder.glob("violation-*")), f"after {number + 1} kills, {holders} of holders"
    contest.until_settled()
    assert not list(contest.folder.glob("violation-*"))
    print(f"{KILLS} kills, {holders} of holders, {KILLS - holders} of others")
    assert 0 < holders < KILLS
    # each GPU that was freed has been taken again, once
    assert len(contest.turns()) == len(GPUS) + holders
