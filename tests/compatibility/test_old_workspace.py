"""A workspace that release 0.1.0 made: the present code opens, audits, gates, promotes and rolls back in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.golden_workspace import unpack
from tests.support.shell import shell

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

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
        shell("elp down", root)


def test_it_is_shown_verified_gated_promoted_and_rolled_back(workspace: Path) -> None:
    # one test: the servers of a workspace take long to start
    _check_shown_and_verified(workspace)
    _check_kept_and_gated(workspace)


def _check_shown_and_verified(workspace: Path) -> None:
    for slot, known in FACTS["slots"].items():
        shown = {str(one["version"]): one["status"] for one in _versions(slot, workspace)}
        assert shown == {number: version["status"] for number, version in known["versions"].items()}
    for what in ("plant-a/asr", "plant-a/asr 2", "plant-a/asv", "call-b/asr 1", ""):
        verified = shell(f"elp audit {what} --verify", workspace)
        assert verified.returncode == 0
        assert WHOLE in verified.stdout
    dropped = shell("elp audit --speaker call-b-m3-10-140", workspace)
    assert dropped.returncode == 0
    assert "data/call-b/asr/v1" in dropped.stdout


def _check_kept_and_gated(workspace: Path) -> None:
    # what 0.1.0 trained is not trained again, although its training keys contain a digest of its code
    assert shell("elp train plant-a/asr", workspace).returncode == 0
    assert len(_versions("plant-a/asr", workspace)) == len(FACTS["slots"]["plant-a/asr"]["versions"])
    # an old verdict is found again and still counts
    for line, champion in (
        ("elp gate plant-a/asr", 1),
        ("elp promote plant-a/asr --by eve --reason 'it passed'", 2),
        ("elp rollback plant-a/asr --by eve --reason 'a trial'", 1),
    ):
        assert shell(line, workspace).returncode == 0
        assert _champion("plant-a/asr", workspace) == champion
    refused = shell("elp promote call-b/asr --version 1 --by eve --reason 'a trial'", workspace)
    assert refused.returncode == 3
    assert "call-b/asr v1" in refused.stderr
    assert _champion("call-b/asr", workspace) is None
    # an old bundle without a verdict gets one
    assert shell("elp gate plant-a/asv --version 3", workspace).returncode == 0
    assert [one["status"] for one in _versions("plant-a/asv", workspace) if one["version"] == 3] == ["challenger"]
    verified = shell("elp audit --verify", workspace)
    assert verified.returncode == 0
    assert WHOLE in verified.stdout


@pytest.mark.slow
def test_an_old_slot_is_trained_again(workspace: Path) -> None:
    assert shell("elp train call-b/asr", workspace, timeout=900).returncode == 0
    assert {one["version"] for one in _versions("call-b/asr", workspace)} == {1, 2}


def _versions(slot: str, workspace: Path) -> list[dict[str, Any]]:
    done = shell(f"elp versions {slot} --json", workspace)
    assert done.returncode == 0
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def _champion(slot: str, workspace: Path) -> int | None:
    found = [one["version"] for one in _versions(slot, workspace) if one["status"] == "champion"]
    return found[0] if found else None
