"""What `elp doctor` says of the Git address that workers read: it is tried, in bounded time."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.local import git
from pipelines.local.git_server import examine_git_address
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace


@pytest.fixture
def shared(tmp_path: Path) -> Workspace:
    """A repository with one commit, and an empty one at its Git address."""
    git.git(tmp_path, "init", "--quiet", "--bare", "there.git")
    git.git(tmp_path, "init", "--quiet", "--initial-branch=main", "here")
    (tmp_path / "here" / "a").write_text("a")
    git.commit(tmp_path / "here", [Path("a")], "Add a file")
    return Workspace(tmp_path / "here", replace(Settings(), git=f"file://{tmp_path}/there.git"))


def test_an_address_is_tried(shared: Workspace) -> None:
    outcome, detail, remedy = examine_git_address(shared)
    assert (outcome, remedy) == ("warn", f"run: git push {shared.settings.git} HEAD --tags"), detail
    git.git(shared.root, *remedy.removeprefix("run: git ").split())
    assert examine_git_address(shared) == ("ok", f"{shared.settings.git} answers", "")


def test_a_server_that_is_not_there_or_hangs_is_a_failure_with_the_settings(shared: Workspace, tmp_path: Path) -> None:
    gone = Workspace(shared.root, replace(shared.settings, git=f"file://{tmp_path}/gone.git"))
    outcome, detail, remedy = examine_git_address(gone)
    assert (outcome, f"look at: git ls-remote {gone.settings.git}" in detail) == ("fail", True)
    assert "correct git in elp.yaml; for SSH, core.sshCommand or GIT_SSH_COMMAND" in remedy
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = replace(shared.settings, git=f"git://127.0.0.1:{silent.getsockname()[1]}/x.git")
        outcome, detail, _ = examine_git_address(Workspace(shared.root, hanging), patience=1.0)
    assert (outcome, "did not end within 1 s" in detail) == ("fail", True)
