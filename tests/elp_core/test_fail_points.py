"""A process ends at the point that is named, at the time that is named, and nowhere else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

CODE = """
from elp_core.fail_points import durable_write
for number in range(2):
    with durable_write("x"):
        print(number, flush=True)
"""


def _run(**environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE], env={**os.environ, **environment}, capture_output=True, text=True
    )
    return done.returncode, done.stdout.replace("\n", "")


def test_a_named_point_ends_the_process() -> None:
    assert _run() == (0, "01")
    assert _run(ELP_FAIL_POINT="before x") == (-signal.SIGKILL, "")
    assert _run(ELP_FAIL_POINT="after x") == (-signal.SIGKILL, "0")
    assert _run(ELP_FAIL_POINT="before x#2") == (-signal.SIGKILL, "0")
    assert _run(ELP_FAIL_POINT="before y") == (0, "01")


def test_the_points_that_are_reached_are_listed(tmp_path: Path) -> None:
    log = tmp_path / "points"
    _run(ELP_FAIL_POINT_LOG=str(log))
    assert log.read_text().split("\n") == ["before x#1", "after x#1", "before x#2", "after x#2", ""]
