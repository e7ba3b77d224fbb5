"""A Dask scheduler on this machine with two workers, ended when the block ends; they see no folder of the tests."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

LIMIT = 180.0
"""Seconds that a service may take on a busy machine."""


@contextlib.contextmanager
def dask_cluster(environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Run it with logs in `folder`; yields the scheduler's address."""
    found = folder / "scheduler.json"
    commands = (
        ["scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(found), "--no-dashboard"],
        ["worker", "--scheduler-file", str(found), "--nworkers", "2", "--nthreads", "1", "--no-dashboard"],
    )
    with (folder / "log").open("wb") as log:
        dask = Path(sys.executable).with_name("dask")
        started = [
            subprocess.Popen([dask, *words], env=dict(environment), cwd=folder, stdout=log, stderr=log)
            for words in commands
        ]
        try:
            ends = time.monotonic() + LIMIT
            while not found.exists():
                assert time.monotonic() < ends, f"waited {LIMIT:.0f} s for the scheduler"
                time.sleep(0.05)
            yield json.loads(found.read_text())["address"]
        finally:
            for process in reversed(started):
                process.terminate()
            for process in reversed(started):
                process.wait(LIMIT)
