"""A hold on something that does not exist is refused, before the server gets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import WorkspaceError
from pipelines.local import git
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from pipelines.registry.holds import HeldSubject
from pipelines.registry.slot import Slot
from pipelines.retention import held_subjects

URI = "http://127.0.0.1:9"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with versions 1 and 10 of one slot, and a server that has adapters of plant-c/asr only."""
    git.git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "a").write_text("a")
    git.commit(tmp_path, [Path("a")], "Add a file")
    for number in (1, 10):
        git.tag(tmp_path, f"data/plant-a/asr/v{number}", "a version")
    git.tag(tmp_path, "data/plant-a/asr/v3-old", "what a person named so")
    monkeypatch.setattr(held_subjects, "connect", lambda uri: uri)
    monkeypatch.setattr(held_subjects, "list_slots", lambda uri: [Slot("plant-c", "asr")])
    return Workspace(tmp_path, Settings())


@pytest.mark.parametrize(
    "text", ["plant-a/asr", "data/plant-a/asr/v10", "plant-c/asr", "plnt-a/asr@v3", "speaker:anna"]
)
def test_what_exists_or_is_checked_by_the_server_is_held(workspace: Workspace, text: str) -> None:
    held_subjects.require_known_subject(workspace, URI, HeldSubject.parse(text))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("plnt-a/asr", "plnt-a/asr has no dataset version and no adapter, so a hold on it would keep nothing"),
        (
            "data/plant-a/asr/v99",
            "no dataset version v99; the newest is data/plant-a/asr/v10, list them with: elp data",
        ),
        ("data/plnt-a/asr/v1", "plnt-a/asr has no dataset version v1; it has none"),
    ],
)
def test_what_does_not_exist_is_refused(workspace: Workspace, text: str, sentence: str) -> None:
    with pytest.raises(WorkspaceError, match=sentence):
        held_subjects.require_known_subject(workspace, URI, HeldSubject.parse(text))
