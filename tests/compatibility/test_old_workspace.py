"""A workspace that release 0.1.0 made: the present code opens, audits, gates, promotes and rolls back in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.main import run
from tests.support.golden_workspace import unpack
from tests.support.shell import shell

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(900)]

GOLDENS = Path(__file__).resolve().parents[1] / "goldens" / "workspaces"
FACTS = json.loads((GOLDENS / "workspace-0.1.0.json").read_text("utf-8"))
WHOLE = "Everything that could be computed again is as recorded"


@pytest.fixture
def workspace(tmp_path: Path, _own_home: None) -> Iterator[Path]:
    # a space in the name: paths are never split
    root = unpack(GOLDENS / "workspace-0.1.0.tar.xz", tmp_path / "my plant")
    try:
        assert shell("elp up", root).returncode == 0
        yield root
    finally:
        shell("elp down --yes", root)


class Here:
    """`elp` in this process: a process of its own imports everything again."""

    def __init__(self, workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self._workspace, self._capfd = workspace, capfd

    def __call__(self, line: str, code: int = 0) -> str:
        """Run the command; return what it printed, errors last."""
        self._capfd.readouterr()
        assert run(line.split()) == code, self._capfd.readouterr().err
        shown = self._capfd.readouterr()
        return shown.out if code == 0 else shown.err

    def versions(self, slot: str) -> list[dict[str, Any]]:
        """All versions of a slot."""
        found: list[dict[str, Any]] = json.loads(self(f"versions {slot} --json"))
        return found

    def champion(self, slot: str) -> int | None:
        """The version of the slot's champion."""
        found = [one["version"] for one in self.versions(slot) if one["status"] == "champion"]
        return found[0] if found else None


@pytest.fixture
def elp(workspace: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.chdir(workspace)
    return Here(workspace, capfd)


def test_it_is_shown_verified_gated_promoted_and_rolled_back(elp: Here, workspace: Path) -> None:
    # one test: the servers of a workspace take long to start
    _check_shown_and_verified(elp)
    _check_kept_and_gated(elp)
    # and once more, as its users run it
    verified = shell("elp audit --verify", workspace)
    assert verified.returncode == 0
    assert WHOLE in verified.stdout


def _check_shown_and_verified(elp: Here) -> None:
    for slot, known in FACTS["slots"].items():
        shown = {str(one["version"]): one["status"] for one in elp.versions(slot)}
        assert shown == {number: version["status"] for number, version in known["versions"].items()}
    for what in ("plant-a/asr", "plant-a/asr 2", "plant-a/asv", "call-b/asr 1"):
        assert WHOLE in elp(f"audit {what} --verify")
    assert "data/call-b/asr/v1" in elp("audit --speaker call-b-m3-10-140")


def _check_kept_and_gated(elp: Here) -> None:
    # what 0.1.0 trained is not trained again, although its training keys contain a digest of its code
    elp("train plant-a/asr")
    assert len(elp.versions("plant-a/asr")) == len(FACTS["slots"]["plant-a/asr"]["versions"])
    # an old verdict is found again and still counts
    for line, champion in (
        ("gate plant-a/asr", 1),
        ("promote plant-a/asr --by eve --reason passed", 2),
        ("rollback plant-a/asr --by eve --reason trial", 1),
    ):
        elp(line)
        assert elp.champion("plant-a/asr") == champion
    assert "call-b/asr v1" in elp("promote call-b/asr --version 1 --by eve --reason trial", code=3)
    assert elp.champion("call-b/asr") is None
    # an old bundle without a verdict gets one
    elp("gate plant-a/asv --version 3")
    assert [one["status"] for one in elp.versions("plant-a/asv") if one["version"] == 3] == ["challenger"]


@pytest.mark.slow
def test_an_old_slot_is_trained_again(elp: Here, workspace: Path) -> None:
    assert shell("elp train call-b/asr", workspace, timeout=900).returncode == 0
    assert {one["version"] for one in elp.versions("call-b/asr")} == {1, 2}
