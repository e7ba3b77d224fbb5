from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from elp_core.errors import AudioError, OpsError
from pipelines.local.chunk_processes import processes_map
from tests.support.chunk_work import forever, with_process
from tests.support.running_children import running_children

ROOT = Path(__file__).parents[3]
LIMIT = 120.0


@pytest.fixture(autouse=True)
def _paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def wait_until(happened: Callable[[], object], what: str) -> None:
    ends = time.monotonic() + LIMIT
    while not happened():
        assert time.monotonic() < ends, f"waited {LIMIT:.0f} s for {what}"
        time.sleep(0.02)


def children() -> list[psutil.Process]:
    return running_children("pipelines.local.chunk_processes")


def test_chunks_come_back_in_order_from_two_processes_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    chunks = [[number, number + 1] for number in range(0, 12, 2)]
    found = list(processes_map([{}, {}])(functools.partial(with_process, tmp_path), iter(chunks)))
    assert [[number for number, _ in done] for done in found] == [[2 * number for number in chunk] for chunk in chunks]
    # two at the beginning, and the one in place of that which 7 has ended
    assert len(list(tmp_path.glob("[0-9]*"))) == 3
    assert {process for done in found for _, process in done} <= {int(path.name) for path in tmp_path.glob("[0-9]*")}
    assert children() == []


def test_what_the_work_raises_is_raised_with_the_place_in_the_other_process(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="17 cannot be decoded") as raised:
        list(processes_map([{}, {}])(functools.partial(with_process, tmp_path), iter([[1], [17]])))
    assert raised.value.reason == "corrupt"
    assert "in with_process" in raised.value.__notes__[0]
    assert children() == []


def test_a_chunk_that_ends_two_processes_is_named_with_their_end(tmp_path: Path) -> None:
    expected = r"process \d of compute.processes was ended by signal 9 \(about to end\), twice at the same chunk"
    with pytest.raises(OpsError, match=expected):
        list(processes_map([{}, {}])(functools.partial(with_process, tmp_path), iter([[1], [13]])))
    assert children() == []


def test_work_that_is_given_up_is_ended(tmp_path: Path) -> None:
    def chunks() -> object:
        yield [1]
        yield [2]
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2, "both processes to work")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(processes_map([{}, {}])(functools.partial(forever, tmp_path), chunks()))
    assert children() == []


def test_a_kill_of_the_caller_ends_the_processes_in_the_middle_of_their_work(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.chunk_work", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT) as caller:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2, "both processes to work")
        working = [psutil.Process(int(path.name)) for path in tmp_path.iterdir()]
        os.kill(caller.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(working, timeout=LIMIT)
    assert alive == []
