"""Verification of an unchanged registry, and of what cannot be verified."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.cli.main import run
from tests.docs.pages import fences
from tests.support.real_registry import Real, failed_lines

pytestmark = pytest.mark.integration


def test_an_unchanged_registry_is_verified(real: Real) -> None:
    tree = real.adapter()
    assert (failed_lines(tree), [fact.name for fact in tree.not_verified]) == ([], [])
    checked = {fact.name for fact in tree.walk() if fact.state == "verified"}
    assert checked >= {
        "in the artifact store",
        "adapter_model.safetensors",
        "lineage.json",
        "tag points to",
        "file",
        "clips used",
        "weights",
        "evidence",
        "lineage statement",
        "verdict statement",
        "chain",
        "checkpoint",
        "alias champion",
        "rests on",
        "tags",
        "packages",
    }
    assert failed_lines(real.registry()) == []


@pytest.mark.parametrize(("tampered", "code"), [(False, 0), (True, 1)])
def test_the_command_ends_with_code_1_after_a_failed_verification_and_names_the_place(
    real: Real, tampered: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipelines.cli.audit_verbs.mlflow_uri", lambda workspace: real.server.uri)
    if tampered:
        real.sql("UPDATE registered_model_aliases SET version = 1 WHERE alias = 'champion'")
    assert run(["-w", str(real.workspace.root), "audit", "--verify"]) == code
    out, err = capsys.readouterr()
    assert ("✗ alias champion: v1" in out, "failed: alias champion v1: the ledger says v2" in err) == (tampered,) * 2


@pytest.mark.parametrize(
    ("change", "name", "message"),
    [
        (lambda real: shutil.rmtree(real.workspace.root / ".elp" / "remote"), "DVC remote", "holds no file"),
        (lambda real: shutil.rmtree(real.backbone), "weights", "cannot be loaded here"),
        (lambda real: real.server.anchor.unlink(), "checkpoint", "entries cut off at the end cannot be detected"),
    ],
)
def test_what_cannot_be_verified_is_reported_with_the_reason(
    real: Real, change: Callable[[Real], object], name: str, message: str
) -> None:
    change(real)
    tree = real.adapter()
    assert any(fact.name == name and message in fact.note for fact in tree.not_verified), tree.not_verified


def test_every_command_of_the_page_runs(real: Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "site"
    shutil.copytree(real.workspace.root, root, symlinks=True)
    for module in ("cli.audit_verbs", "retention.removal_plan", "retention.sweep"):
        monkeypatch.setattr(f"pipelines.{module}.mlflow_uri", lambda workspace: real.server.uri)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(root)
    lines = [line for fence in fences("sh") if fence.page == "audit.md" for line in fence.commands]
    assert len(lines) > 10
    for line in lines:
        words = shlex.split(line.replace("plant-a-m2-10-140", "ann"))
        code = run(words[1:]) if words[0] == "elp" else subprocess.run(words, check=False).returncode
        assert code == 0, line
    assert (root / "adapter.cdx.json").is_file()
    assert (root / "audit.html").is_file()
