"""The units of a workspace: what they start is up, and ends at SIGTERM in the time that systemd gives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.local.addresses import read_record
from pipelines.local.initialise import init_workspace
from pipelines.local.workspace import open_workspace

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("name", ["elp-control.service", "elp-foundry.service"])
def test_the_unit_of_a_workspace_starts_its_services_and_ends_them_at_sigterm(name: str, tmp_path: Path) -> None:
    """What ExecStart runs in WorkingDirectory, without systemd and without its terminal."""
    root = init_workspace(tmp_path / "foundry").root
    with (root / "elp.yaml").open("a") as settings:
        settings.write("servers: {mlflow_port: 0, prefect_port: 0}\n")
    (words,) = re.findall(r"^ExecStart=\S+ (.+)$", (DEPLOY / name).read_text("utf-8"), re.M)
    elp, environment = [sys.executable, "-m", "pipelines.cli.main"], {**os.environ, "PYTHONPATH": str(ROOT)}
    with (tmp_path / "journal").open("wb") as journal:
        unit = subprocess.Popen(
            [*elp, *words.split()], cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=journal, stderr=journal
        )
    try:
        ends = time.monotonic() + 240
        while subprocess.run([*elp, "status"], cwd=root, env=environment, capture_output=True).returncode:
            assert unit.poll() is None, (tmp_path / "journal").read_text()
            assert time.monotonic() < ends, (tmp_path / "journal").read_text()
        unit.terminate()
        assert unit.wait(60) == 0, "TimeoutStopSec"
        assert read_record(open_workspace(root)).processes == ()
    finally:
        unit.kill()
        unit.wait()
        subprocess.run([*elp, "down"], cwd=root, env=environment, capture_output=True)
