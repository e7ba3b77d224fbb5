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


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A HOME for the module: the servers outlive a single test."""
    folder = tmp_path_factory.mktemp("home")
    (folder / ".gitconfig").write_text("[user]\n\tname = Test\n\temail = test@example.org\n")
    return {"HOME": str(folder), **{f"XDG_{name}_HOME": str(folder / name) for name in ("CONFIG", "CACHE", "DATA")}}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, home: dict[str, str]) -> Iterator[Path]:
    # a space in the name: paths are never split
    root = unpack(GOLDENS / "workspace-0.1.0.tar.xz", tmp_path_factory.mktemp("old") / "my plant")
    started = shell("elp up", root, **home)
    try:
        assert started.returncode == 0, started.stderr
        yield root
    finally:
        shell("elp down", root, **home)


def _json(line: str, workspace: Path, home: dict[str, str]) -> Any:
    done = shell(f"{line} --json", workspace, **home)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("slot", sorted(FACTS["slots"]))
def test_every_version_has_its_status(slot: str, workspace: Path, home: dict[str, str]) -> None:
    shown = {str(one["version"]): one["status"] for one in _json(f"elp versions {slot}", workspace, home)}
    assert shown == {number: known["status"] for number, known in FACTS["slots"][slot]["versions"].items()}


@pytest.mark.parametrize("what", ["plant-a/asr", "plant-a/asr 2", "plant-a/asv", "call-b/asr 1", ""])
def test_it_verifies(what: str, workspace: Path, home: dict[str, str]) -> None:
    done = shell(f"elp audit {what} --verify", workspace, **home)
    assert done.returncode == 0
    assert WHOLE in done.stdout


def test_a_dropped_speaker_is_in_no_version_since(workspace: Path, home: dict[str, str]) -> None:
    done = shell("elp audit --speaker call-b-m3-10-140", workspace, **home)
    assert done.returncode == 0
    assert "data/call-b/asr/v1" in done.stdout


def test_a_verdict_of_the_old_release_is_found_again_and_promotes(workspace: Path, home: dict[str, str]) -> None:
    gated = shell("elp gate plant-a/asr", workspace, **home)
    assert gated.returncode == 0
    assert shell("elp promote plant-a/asr --by eve --reason 'it passed'", workspace, **home).returncode == 0
    assert _champion("plant-a/asr", workspace, home) == 2
    assert shell("elp rollback plant-a/asr --by eve --reason 'a trial'", workspace, **home).returncode == 0
    assert _champion("plant-a/asr", workspace, home) == FACTS["slots"]["plant-a/asr"]["champion"]


def test_a_rejected_version_stays_refused(workspace: Path, home: dict[str, str]) -> None:
    refused = shell("elp promote call-b/asr --version 1 --by eve --reason 'a trial'", workspace, **home)
    assert refused.returncode == 3
    assert "verdict" in refused.stderr
    assert _champion("call-b/asr", workspace, home) is None


def test_a_bundle_of_the_old_release_is_gated_anew_and_the_ledger_verifies(
    workspace: Path, home: dict[str, str]
) -> None:
    gated = shell("elp gate plant-a/asv --version 3", workspace, **home)
    assert gated.returncode == 0, gated.stderr
    assert _json("elp versions plant-a/asv", workspace, home)[-1]["version"] in (1, 3)
    verified = shell("elp audit --verify", workspace, **home)
    assert verified.returncode == 0
    assert WHOLE in verified.stdout


@pytest.mark.slow
def test_an_old_slot_trains_again(workspace: Path, home: dict[str, str]) -> None:
    assert shell("elp train call-b/asr", workspace, timeout=900, **home).returncode == 0


def _champion(slot: str, workspace: Path, home: dict[str, str]) -> int | None:
    found = [one["version"] for one in _json(f"elp versions {slot}", workspace, home) if one["status"] == "champion"]
    return found[0] if found else None
