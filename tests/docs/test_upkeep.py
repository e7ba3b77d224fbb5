"""The commands of docs/how-to/upkeep.md in a real workspace: what was saved comes back in another folder, whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import fences
from tests.support.shell import shell

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(600)]

BACKUP, RESTORE = (fence.commands for fence in fences("sh") if fence.page == "upkeep.md")


@pytest.fixture
def workspace(tmp_path: Path, _own_home: None) -> Iterator[Path]:
    from pipelines.local.initialise import init_workspace

    root = init_workspace(tmp_path / "foundry").root
    (root / "elp.yaml").write_text("servers: {mlflow_port: 0, prefect_port: 0}\n")
    yield root
    for folder in (root, tmp_path / "restored"):
        if folder.exists():
            shell("elp down --yes", folder)


def test_a_backup_comes_back_in_another_folder_and_verifies(workspace: Path) -> None:
    assert shell("elp up", workspace).returncode == 0
    for line in (*BACKUP, "elp down", *RESTORE):
        assert shell(line, workspace).returncode == 0, line
    assert (workspace.parent / "foundry-backup.tgz").stat().st_mode & 0o077 == 0
    shown = shell("elp audit --verify", workspace.parent / "restored").stdout
    assert "chain: " in shown
    assert "is as recorded" in shown
