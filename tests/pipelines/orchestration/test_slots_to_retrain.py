"""The slots to retrain and to schedule are found, also those whose data only other machines have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.inbox.slot_inbox import missing_inbox
from pipelines.local import git
from pipelines.local.inbox_settings import InboxSettings
from pipelines.local.run_workspace import open_for_run
from pipelines.local.workspace import Workspace
from pipelines.orchestration.schedule_apply import slots_to_retrain
from tests.support.git_servers import publish, shared_workspace
from tests.support.scheduled_workspace import tag_slots


def test_a_slot_whose_first_data_a_worker_took_in_is_found(tmp_path: Path) -> None:
    shared_workspace(tmp_path / "foundry")
    server = tmp_path / "server" / "foundry.git"
    control = publish(tmp_path / "foundry", f"file://{server}", tmp_path / "remote", "language: en\n")
    assert slots_to_retrain(control, pytest.fail) == []
    worker = open_for_run(control.address)
    git.tag(worker.root, "data/plant-a/asr/v1", "3 clips")
    git.git(worker.root, "push", "--quiet", "origin", "refs/tags/data/plant-a/asr/v1")
    assert [str(slot) for slot in slots_to_retrain(control, pytest.fail)] == ["plant-a/asr"]
    server.rename(tmp_path / "away")
    assert [str(slot) for slot in slots_to_retrain(control, pytest.fail)] == ["plant-a/asr"], "known here"


def test_an_inbox_that_is_not_mounted_hides_no_slot_with_data(workspace: Workspace) -> None:
    tag_slots(workspace, ["plant-a/asr"])
    away = replace(workspace, settings=replace(workspace.settings, inbox=InboxSettings(path="/nowhere/recordings")))
    faults: list[str] = []
    assert [str(slot) for slot in slots_to_retrain(away, faults.append)] == ["plant-a/asr"]
    assert "the inbox /nowhere/recordings of every slot does not exist" in faults[0]
    assert missing_inbox(away) == faults[0]
    assert missing_inbox(workspace) == ""
