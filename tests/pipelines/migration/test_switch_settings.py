"""The backbones in `elp.yaml` after a switch: one commit, also after a kill, and nobody else's change in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import WorkspaceError
from pipelines.local import git
from pipelines.local.settings import Settings, read_settings
from pipelines.local.workspace import Workspace
from pipelines.migration.migrate_site import migrated_settings
from pipelines.migration.switch_site import require_no_other_change, write_backbones
from pipelines.registry.slot import Slot

TEXT = "# ours\r\nbackbone: elp:tiny\r\nslots:\r\n  plant-a/asr: {gate: {limit: 0.2}}  # strict\r\n"
ASR, NAMES = Slot("plant-a", "asr"), {"plant-a/asr": "org/new", "plant-a/asv": "org/new"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    git.git(tmp_path, "init", "--quiet")
    (tmp_path / "elp.yaml").write_bytes(TEXT.encode())
    git.commit(tmp_path, [Path("elp.yaml")], "first")
    return Workspace(tmp_path, read_settings(TEXT))


def test_the_slots_are_named_in_one_commit_and_comments_stay(workspace: Workspace) -> None:
    made = write_backbones(workspace, NAMES, "plant-a: org/new")
    text = (workspace.root / "elp.yaml").read_bytes().decode()
    assert git.git(workspace.root, "log", "-1", "--format=%H %s") == f"{made} Set the backbone of plant-a: org/new"
    assert read_settings(text).backbone_names == ("elp:tiny", "org/new")
    assert read_settings(text).for_slot(ASR).gate.limit == 0.2
    assert "# ours\r\n" in text
    assert "# strict" in text
    assert write_backbones(workspace, NAMES, "again") == ""
    back = dict.fromkeys(NAMES, "elp:tiny")
    assert write_backbones(workspace, back, "plant-a: back")
    assert read_settings((workspace.root / "elp.yaml").read_text()).backbone_names == ("elp:tiny",)


def test_a_kill_before_the_commit_is_completed_and_another_change_is_refused(workspace: Workspace) -> None:
    path = workspace.root / "elp.yaml"
    write_backbones(workspace, NAMES, "plant-a: org/new")
    # as it is after a kill between the file and the commit
    git.git(workspace.root, "reset", "--quiet", "--soft", "HEAD~1")
    require_no_other_change(workspace, NAMES)
    assert write_backbones(workspace, NAMES, "plant-a: org/new")
    assert git.git(workspace.root, "status", "--porcelain") == ""
    path.write_bytes(path.read_bytes() + b"language: de\r\n")
    with pytest.raises(WorkspaceError, match="not committed"):
        require_no_other_change(workspace, NAMES)


def test_a_challenger_has_the_champions_configuration_on_the_other_backbone() -> None:
    settings = Settings(slots={str(ASR): {"train": {"epochs": 3, "init": "champion"}, "gate": {"limit": 0.2}}})
    config = {"train": {"epochs": 7, "init": "champion"}, "adapter": {"layer": {"width": 16}}}
    made = migrated_settings(settings, ASR, "org/new", config)
    own = made.for_slot(ASR)
    assert (own.train.epochs, own.train.init, own.adapter.layer.width) == (7, "fresh", 16)
    assert (own.gate.limit, made.backbone_of(ASR)) == (0.2, "org/new")
    assert made.backbone_of(replace(ASR, task="asv")) == settings.backbone
