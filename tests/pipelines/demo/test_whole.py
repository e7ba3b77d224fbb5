"""The demo as a newcomer runs it: from nothing to the refused delivery, then once more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(2400)]


def _demo(folder: Path, *options: str) -> str:
    elp = Path(sys.executable).with_name("elp")
    command = [elp, "demo", "--folder", folder, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2000, env=dict(os.environ))
    print(done.stderr)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _state(folder: Path) -> tuple[str, dict[str, int]]:
    """The workspace's revision, and the modification time of every file that a run could change."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True).stdout
    kept = [path for name in ("data", "incoming") for path in (folder / name).rglob("*") if path.is_file()]
    return head, {str(path): path.stat().st_mtime_ns for path in kept}


@pytest.fixture
def folder(tmp_path: Path, _own_home: None) -> Iterator[Path]:
    yield tmp_path / "demo"
    if (tmp_path / "demo" / "elp.yaml").exists():
        _demo(tmp_path / "demo", "--down")


def test_good_deliveries_serve_the_swapped_one_does_not_and_again_changes_nothing(folder: Path) -> None:
    shown: dict[str, Any] = json.loads(_demo(folder, "--json"))
    verdicts = {(row["slot"], row["delivery"]): row["verdict"] for row in shown["rows"]}
    swapped = verdicts.pop(("plant-a/asr", "swapped"))
    assert swapped == "failed"
    assert set(verdicts) == {(f"{site}/{task}", "first") for site in ("plant-a", "call-b") for task in ("asr", "asv")}
    assert verdicts["plant-a/asr", "first"] == "passed"
    assert "failed" not in verdicts.values()
    for row in shown["rows"]:
        assert row["candidate"] < row["before"]
    before = _state(folder)
    again = json.loads(_demo(folder, "--json"))
    assert again["rows"] == shown["rows"]
    assert _state(folder) == before
