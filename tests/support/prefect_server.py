"""A real Prefect server on a free port of 127.0.0.1, without its schedules, ended when the block ends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipelines.local.environment import child_environment
from tests.support.mlflow_server import free_port
from tests.support.new_databases import new_prefect_database

START_SECONDS = 180.0
_ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def prefect_server(folder: Path) -> Iterator[Mapping[str, str]]:
    """Run Prefect with its database in `folder`; yields the environment of processes that use it."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    new_prefect_database(folder / "home")
    environment = child_environment(
        {
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_PROFILES_PATH": str(folder / "profiles.toml"),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "data")]),
        }
    )
    command = [sys.executable, "-m", "pipelines.orchestration.quick_prefect", "server", "start", "--no-ui"]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env=environment, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        _wait_for(server, environment["PREFECT_API_URL"], folder / "server.log")
        yield environment
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(server: subprocess.Popen[bytes], api: str, log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends and server.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(api + "/health", timeout=2):
            return
        time.sleep(0.1)
    raise RuntimeError(f"Prefect did not start:\n{log.read_text(errors='replace')[-3000:]}")
