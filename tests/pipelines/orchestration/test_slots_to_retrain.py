"""The slots to retrain and to schedule are found, also those whose data only other machines have."""

from __future__ import annotations

from pathlib import Path

from pipelines.local import git
from pipelines.local.run_workspace import open_for_run
from pipelines.orchestration.schedule_apply import slots_to_retrain
from tests.support.git_servers import publish, shared_workspace


def test_a_slot_whose_first_data_a_worker_took_in_is_found(tmp_path: Path) -> None:
    shared_workspace(tmp_path / "foundry")
    server = tmp_path / "server" / "foundry.git"
    control = publish(tmp_path / "foundry", f"file://{server}", tmp_path / "remote", "language: en\n")
    assert slots_to_retrain(control) == []
    worker = open_for_run(control.address)
    git.tag(worker.root, "data/plant-a/asr/v1", "3 clips")
    git.git(worker.root, "push", "--quiet", "origin", "refs/tags/data/plant-a/asr/v1")
    assert [str(slot) for slot in slots_to_retrain(control)] == ["plant-a/asr"]
    server.rename(tmp_path / "away")
    assert [str(slot) for slot in slots_to_retrain(control)] == ["plant-a/asr"], "known here"
