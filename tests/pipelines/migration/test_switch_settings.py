"""The backbones in `elp.yaml` after a switch: one commit, also after a kill, and nobody else's change in it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elp_core.config import AugmentConfig
from pipelines.datasets import shared_branch
from pipelines.errors import ServiceError, WorkspaceError
from pipelines.local import git
from pipelines.local.settings import Settings, read_settings
from pipelines.local.workspace import Workspace
from pipelines.migration.backbone_settings import prepare_settings, require_no_other_change, write_backbones
from pipelines.migration.migrate_site import migrated_settings
from pipelines.registry.slot import Slot
from tests.support.git_servers import shared_workspace
from tests.support.workspaces import isolate

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
    # without copies these did nothing, and earlier releases accepted them
    config = {"train": {"augment": {"variants": 1, "conditions": 0.5, "margin": 1.0, "speed": 0.2}}}
    augment = migrated_settings(settings, ASR, "org/new", config).for_slot(ASR).train.augment
    assert augment == AugmentConfig(variants=1, speed=0.2)


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose commits are pushed to a Git server, which other machines share."""
    isolate(tmp_path / "home", monkeypatch)
    return shared_workspace(tmp_path / "foundry", "backbone: elp:tiny\n")


def test_the_commit_is_pushed_on_top_of_what_other_machines_have_pushed(
    control: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, push, between = Path(control.address.removeprefix("file://")), shared_branch.push_branch, list[str]()
    other = tmp_path / "other"
    git.git(tmp_path, "clone", "--quiet", control.address, str(other))

    def push_after_the_other_machine(*arguments: Any) -> None:
        if between:
            name = between.pop()
            git.git(other, "pull", "--quiet", "--rebase")
            (other / name).write_text(
                (other / name).read_text() + "auto_promote: true\n" if name == "elp.yaml" else "x"
            )
            git.commit(other, [Path(name)], f"Change {name}")
            git.git(other, "push", "--quiet")
        push(*arguments)

    monkeypatch.setattr(shared_branch, "push_branch", push_after_the_other_machine)
    for name, backbone in (("notes.txt", "org/new"), ("elp.yaml", "org/newer")):
        between.append(name)
        made = write_backbones(control, dict.fromkeys(NAMES, backbone), f"plant-a: {backbone}")
        assert made == git.resolve(server, "main") == git.resolve(control.root)
        assert git.git(server, "log", "-2", "--format=%s", "main").splitlines()[1] == f"Change {name}"
        there = read_settings(git.show(server, "main", Path("elp.yaml")) or "")
        assert there.backbone_names == ("elp:tiny", backbone)
        assert there.auto_promote is (name == "elp.yaml")
    # the Git server is gone at the last moment: the commit is kept, and the next call brings it there
    gone = server.with_name("gone")
    monkeypatch.setattr(shared_branch, "push_branch", lambda *arguments: (server.rename(gone), push(*arguments)))
    with pytest.raises(WorkspaceError, match=r"is not at file://.*did not take the change.*; then push it: git push"):
        write_backbones(control, NAMES, "plant-a: org/new")
    monkeypatch.setattr(shared_branch, "push_branch", push)
    with pytest.raises(ServiceError, match="does not answer"):
        prepare_settings(control, NAMES)
    gone.rename(server)
    assert write_backbones(control, NAMES, "plant-a: org/new") == ""
    assert git.resolve(server, "main") == git.resolve(control.root)
    assert git.git(control.root, "status", "--porcelain") == ""


def test_the_way_back_imports_no_library_that_it_does_not_need() -> None:
    code = "import sys, pipelines.cli.migrate_verbs, pipelines.migration.switch_site; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"numpy", "pyarrow", "mlflow", "torch", "prefect"}.isdisjoint(loaded)
