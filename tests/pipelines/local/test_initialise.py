from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.errors import WorkspaceError
from pipelines.local import git
from pipelines.local.initialise import init_workspace
from pipelines.local.workspace import open_workspace
from pipelines.registry.signing.keys import load_trusted_keys

pytestmark = pytest.mark.integration


def test_a_workspace_is_a_clean_repository_with_a_remote(tmp_path: Path) -> None:
    made = init_workspace(tmp_path / "new" / "workspace")
    assert open_workspace(made.root) == made
    assert git.git(made.root, "status", "--porcelain") == ""
    assert "url = ../.elp/remote" in (made.root / ".dvc" / "config").read_text()


def test_the_address_of_the_servers_is_in_the_settings_that_are_committed(tmp_path: Path) -> None:
    made = init_workspace(tmp_path / "container", host="0.0.0.0")
    assert made.settings.servers.host == "0.0.0.0"
    assert git.git(made.root, "status", "--porcelain") == ""
    text = (init_workspace(tmp_path / "laptop").root / "elp.yaml").read_text()
    assert text == (made.root / "elp.yaml").read_text().replace('servers: {host: "0.0.0.0"}\n', "")


def test_a_workspace_has_a_key_for_each_role_and_git_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ELP_KEYS", raising=False)
    made = init_workspace(tmp_path / "workspace")
    ring = load_trusted_keys(made.state / "keys")
    assert [ring.signs(ring.active(role)[0]) for role in ("lineage", "verdict", "ledger")] == [True] * 3
    assert ".elp" not in git.git(made.root, "ls-files")


def test_a_repository_that_is_there_becomes_one_and_keeps_its_files(tmp_path: Path) -> None:
    git.git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitignore").write_text("*.log")
    git.commit(tmp_path, [Path(".gitignore")], "Begin")
    init_workspace(tmp_path, remote="s3://bucket/path")
    assert (tmp_path / ".gitignore").read_text() == "*.log\n.elp/\n"
    assert "url = s3://bucket/path" in (tmp_path / ".dvc" / "config").read_text()


def test_a_workspace_is_not_made_twice(tmp_path: Path) -> None:
    init_workspace(tmp_path / "workspace")
    with pytest.raises(WorkspaceError, match="is a workspace already"):
        init_workspace(tmp_path / "workspace")


def test_without_an_identity_nothing_is_made(tmp_path: Path) -> None:
    (Path(os.environ["HOME"]) / ".gitconfig").unlink()
    with pytest.raises(WorkspaceError, match=r"git config --global user\.name"):
        init_workspace(tmp_path / "workspace")
    assert not (tmp_path / "workspace").exists()


def test_a_file_is_no_place_for_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="is a file"):
        init_workspace(tmp_path / "file")


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("outer/inner/deep", "is inside the workspace .*outer, .*give a folder outside"),
        ("file/below", "cannot be made .*that you may write to"),
        ("/", "root of the file system"),
    ],
)
def test_a_place_where_none_can_live_is_refused_and_left_alone(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "elp.yaml").write_text("")
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WorkspaceError, match=reason):
        init_workspace(tmp_path / place)
    assert sorted(tmp_path.rglob("*")) == before
