"""A lock of a Git process that was killed is cleared; one that somebody may hold is not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipelines.local import git
from pipelines.local.git_locks import clear_dead_git_locks


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git.git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "a").write_text("a")
    return tmp_path


def test_what_a_killed_git_left_does_not_stop_the_next_commit(repository: Path) -> None:
    locks = [repository / ".git" / name for name in ("index.lock", "refs/heads/main.lock")]
    for lock in locks:
        lock.touch()
    assert sorted(clear_dead_git_locks(repository, 0.0)) == sorted(locks)
    assert git.commit(repository, [Path("a")], "Begin")
    assert clear_dead_git_locks(repository, 600.0) == []


def test_a_lock_is_left_while_git_works_there(repository: Path) -> None:
    lock = repository / ".git" / "index.lock"
    lock.touch()
    with subprocess.Popen(
        ["git", "-C", str(repository), "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as working:
        assert clear_dead_git_locks(repository, 0.3) == []
        assert working.stdin
        working.stdin.close()
    assert clear_dead_git_locks(repository, 0.0) == [lock]


def test_a_lock_that_was_made_again_meanwhile_is_left(repository: Path, monkeypatch) -> None:
    lock = repository / ".git" / "index.lock"
    lock.touch()

    def again(_: float) -> None:
        lock.unlink()
        lock.write_text("of another")

    monkeypatch.setattr("pipelines.local.git_locks.time.sleep", again)
    clear_dead_git_locks(repository)
    assert lock.exists()
