"""The tutorial's commands, one after the other, on a folder of recordings as a reader has it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import fences
from tests.support.shell import shell

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(1200)]

SETTINGS = "defaults: {asr: {train: {epochs: 2}, gate: {limit: 1.5}}}\nservers: {mlflow_port: 0, prefect_port: 0}\n"
"""Two epochs instead of twenty-four, a limit that such an adapter keeps to, and free ports."""
COMMANDS = [line for fence in fences("sh") if fence.page == "first-adapter.md" for line in fence.commands]


@pytest.fixture
def folder(tmp_path: Path, _own_home: None) -> Iterator[Path]:
    yield tmp_path
    if (tmp_path / "foundry").exists():
        shell("elp down --yes", tmp_path / "foundry")


def _recordings(folder: Path) -> None:
    """A folder of WAV files with a `metadata.csv`, from the synthetic corpus."""
    from pipelines.demo.corpus import SITES, DeliveryPlan, write_delivery

    manifest = write_delivery(SITES[0], DeliveryPlan("tutorial", per_speaker=2), folder / "corpus", seed=1)
    recordings = folder / "recordings"
    recordings.mkdir()
    with (recordings / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "text", "speaker"])
        for number, line in enumerate(manifest.read_text("utf-8").splitlines()):
            clip = json.loads(line)
            name = "anna-01.wav" if number == 0 else f"clip-{number:03}.wav"
            shutil.copy(manifest.parent / clip["audio_filepath"], recordings / name)
            table.writerow([name, clip["text"], clip["speaker"]])


def test_a_folder_of_recordings_becomes_a_promoted_adapter(folder: Path) -> None:
    _recordings(folder)
    workspace = folder / "foundry"
    for line in COMMANDS:
        if line.startswith("cd "):
            continue
        done = shell(line, workspace if workspace.exists() else folder, timeout=900)
        assert done.returncode == 0, line
        if line.startswith("elp init"):
            (workspace / "elp.yaml").write_text(SETTINGS, encoding="utf-8")
            assert shell("git add elp.yaml && git commit -qm Settings", workspace).returncode == 0
    assert "elp promote plant-a/asr" in "\n".join(COMMANDS)
