from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.local.dvc_locks import clear_dead_locks
from pipelines.local.dvc_repository import dvc_repository, make_dvc_repository

HALF = '{"write": {"/data/shards": {"pid": %d, "cmd": "dvc add'


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    return tmp_path / ".dvc" / "tmp" / "rwlock"


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _entry(pid: int) -> str:
    return json.dumps({"write": {"/data/shards": {"pid": pid, "cmd": "dvc add"}}, "read": {}})


@pytest.mark.parametrize("text", ["", "{", HALF, "[]", '{"other": 1}', "\udcff"])
def test_a_lock_that_a_dead_process_half_wrote_is_cleared_with_a_note(
    text: str, lock: Path, dead: int, caplog: pytest.LogCaptureFixture
) -> None:
    lock.write_bytes((text % dead if "%" in text else text).encode("utf-8", "surrogateescape"))
    assert clear_dead_locks(lock.parents[2])
    assert not lock.exists()
    assert "a DVC process that was killed had left" in caplog.text


def test_the_entry_of_a_dead_process_is_cleared(lock: Path, dead: int) -> None:
    lock.write_text(_entry(dead))
    assert clear_dead_locks(lock.parents[2])


def test_an_entry_is_dead_if_another_program_has_its_number_now(lock: Path) -> None:
    lock.write_text(_entry(os.getpid()))
    os.utime(lock, (time.time() - 10 * 365 * 86_400,) * 2)
    assert clear_dead_locks(lock.parents[2])


@pytest.mark.parametrize(
    "text",
    ["{}", '{"write": {}, "read": {}}', _entry(os.getpid()), HALF % os.getpid()],
    # without process ids: all test processes must collect the same names
    ids=["empty", "no holders", "a live holder", "half of a live holder"],
)
def test_what_blocks_nobody_or_is_of_a_live_process_stays(text: str, lock: Path) -> None:
    lock.write_text(text)
    assert not clear_dead_locks(lock.parents[2])
    assert lock.read_text() == text


@pytest.mark.parametrize("name", ["lock", "rwlock.lock"])
def test_nothing_is_cleared_while_a_process_holds_the_lock(name: str, lock: Path, dead: int) -> None:
    lock.write_text("{")
    code = "import sys, zc.lockfile; held = zc.lockfile.LockFile(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(lock.with_name(name))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert not clear_dead_locks(lock.parents[2])
        holder.kill()
    assert clear_dead_locks(lock.parents[2])


@pytest.mark.integration
def test_dvc_works_again_after_a_kill(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    make_dvc_repository(tmp_path, str(tmp_path / "remote"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("a")
    lock = tmp_path / ".dvc" / "tmp" / "rwlock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text('{"write": {"/da')
    with dvc_repository(tmp_path, "add") as repository:
        repository.add([str(tmp_path / "data")])
    assert (tmp_path / "data.dvc").is_file()
