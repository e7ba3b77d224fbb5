"""The tutorial's commands, one after the other, on a folder of recordings and a table as a reader has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import fences
from tests.support.own_recordings import write_recordings
from tests.support.shell import shell

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(1800)]

SETTINGS = {
    "defaults": {"asr": {"train": {"epochs": 2}, "gate": {"limit": 1.5}}},
    "servers": {"mlflow_port": 0, "prefect_port": 0},
}
"""Two epochs instead of twenty-four, a limit that such an adapter keeps to, and free ports."""
PAGE = "first-adapter.md"
COMMANDS = [line for fence in fences("sh") if fence.page == PAGE for line in fence.commands]
(DECLARED,) = [yaml.safe_load(fence.text) for fence in fences("yaml") if fence.page == PAGE]
TAKES = 3


@pytest.fixture
def folder(tmp_path: Path, _own_home: None) -> Iterator[Path]:
    yield tmp_path
    if (tmp_path / "foundry").exists():
        shell("elp down --yes", tmp_path / "foundry")


def test_a_folder_and_a_table_become_a_promoted_adapter(folder: Path, request: pytest.FixtureRequest) -> None:
    count = write_recordings(folder, request, TAKES)
    workspace = folder / "foundry"
    for line in COMMANDS:
        if line.startswith("cd "):
            continue
        if line.startswith("git add"):
            # what the page tells the reader to write, and what makes the test short
            text = yaml.safe_dump({**SETTINGS, **DECLARED}, sort_keys=False)
            (workspace / "elp.yaml").write_text(text, encoding="utf-8")
        done = shell(line, workspace if workspace.exists() else folder, timeout=1200)
        assert done.returncode == 0, line
        if line.startswith("elp data inspect"):
            shown = next(row for row in COMMANDS if row.startswith("elp data add"))
            assert shown.replace("plant-a/", "SITE/") in done.stdout
            assert f"{count:,}; {count:,} good" in done.stdout
        if line.startswith("elp data add"):
            assert "not trainable yet" not in done.stdout
    assert "elp promote plant-a/asr" in "\n".join(COMMANDS)
