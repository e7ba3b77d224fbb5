"""The commands of the page about what to label next, one after the other, in a workspace with a champion."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from pipelines.cli.main import run
from pipelines.datasets.versions import find_latest
from pipelines.registry.slot import Slot
from pipelines.selection.pseudo_label import FORMAT
from tests.docs.pages import fences
from tests.support.clips import voice, wav
from tests.support.watched_slot import Watched, watched_slot

pytestmark = [pytest.mark.slow, pytest.mark.integration]

PAGE = "label-next.md"
COMMANDS = [line for fence in fences("sh") if fence.page == PAGE for line in fence.commands]
SLOT = Slot("label-page", "asr")
"""In place of the page's slot: the champions of one server are those of all tests."""
LENIENT = "--share 1 --agree 1 --confidence 0"
"""In place of the page's limits: the champion of the test has learned nothing."""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Watched:
    made = watched_slot(tmp_path_factory.mktemp("page"), mlflow_uri, SLOT)
    (folder := made.workspace.root / "recordings").mkdir()
    for place in range(10):
        (folder / f"call-{place}.wav").write_bytes(wav(voice(0.6, 170 + 25 * place, 5000 + place)))
    return made


def test_every_command_of_the_page_runs(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = watched.workspace
    monkeypatch.chdir(workspace.root)
    clips = []
    for line in COMMANDS:
        if "export/" in line:
            _label(workspace.root)
        if line.startswith("elp data drop"):
            # what the command before has dropped may be labelled again
            assert run([*shlex.split(f"data pseudo-label {SLOT} recordings {LENIENT}")]) == 0
        assert run(shlex.split(_here(line, watched))[1:]) == 0, line
        current = find_latest(workspace, SLOT)
        assert current
        clips.append((current.clips, current.taught_clips))
    written = {path.name for path in (workspace.root / "next").iterdir()}
    assert written == {"suggested.csv", "label-studio.json", "label-studio.xml", "left-out.csv"}
    labelled, before = clips[0][0] + 3, COMMANDS.index(f"elp data show {Slot('plant-a', 'asr')}")
    assert clips[before][0] > labelled
    assert clips[before][1] == clips[before][0] - labelled
    assert clips[-2:] == [(labelled, 0)] * 2


def _here(line: str, watched: Watched) -> str:
    """A line of the page for this workspace."""
    current = find_latest(watched.workspace, SLOT)
    assert current
    taught = [one.name for one in current.deliveries if one.importer == FORMAT]
    changes = {
        "plant-a/asr": str(SLOT),
        "--share 0.3 --agree 0.05 --confidence 0.8": LENIENT,
        "0123456789abcdef": "".join(current.teachers).removeprefix("sha256:")[:16],
        "--delivery 0123456789ab": f"--delivery {taught[-1] if taught else ''}",
    }
    for shown, here in changes.items():
        line = line.replace(shown, here)
    return line


def _label(root: Path) -> None:
    """Answer the first three suggested tasks, and export the project as Label Studio does."""
    tasks = json.loads((root / "next" / "label-studio.json").read_text())[:3]
    answer = {
        "from_name": "transcription",
        "to_name": "audio",
        "type": "textarea",
        "value": {"text": ["open the door"]},
    }
    done = [
        {"id": place, **task, "annotations": [{"id": place, "completed_by": 1, "result": [answer]}]}
        for place, task in enumerate(tasks, start=1)
    ]
    (root / "export").mkdir(exist_ok=True)
    (root / "export" / "project-1.json").write_text(json.dumps(done))
