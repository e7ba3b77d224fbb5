"""A real MLflow server on a free port of 127.0.0.1, ended by its process group when the tests are done.

Its start costs seven seconds of processor time if it imports everything again. A server of the tests is forked from a
process that has imported it (`tests/support/forked_server.py`); `elp up`, in the tests of whole workspaces, runs the
command line itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.support.forked_server import fork_server
from tests.support.new_databases import new_mlflow_database

START_SECONDS = 120.0


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Run MLflow with its database and artifacts in `folder`; yields the address."""
    port = free_port()
    new_mlflow_database(folder / "mlflow.db")
    options = ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    options += ["--artifacts-destination", str(folder / "artifacts")]
    with running([*server_command(port), *options], port, folder, server_environment(folder)):
        yield f"http://127.0.0.1:{port}"


def server_command(port: int) -> list[str]:
    """The arguments of `mlflow`, without stores."""
    return ["server", "--host", "127.0.0.1", "--port", str(port)]


def server_environment(folder: Path) -> dict[str, str]:
    """What the server runs in: `folder` for a home, no telemetry, none of MLflow's background jobs."""
    return {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "HOME": str(folder),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


@contextlib.contextmanager
def running(command: list[str], port: int, folder: Path, environment: Mapping[str, str]) -> Iterator[BaseProcess]:
    """Run a server in `folder` until the block ends, from the moment it answers; its log is added to server.log."""
    server = fork_server(command, folder, environment)
    try:
        _wait_for(server, f"http://127.0.0.1:{port}", folder / "server.log")
        yield server
    finally:
        assert server.pid
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.join(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.join()


def _wait_for(server: BaseProcess, uri: str, log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        if not server.is_alive():
            break
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(uri + "/health", timeout=2):
            return
        time.sleep(0.1)
    raise RuntimeError(f"MLflow did not start:\n{log.read_text(errors='replace')[-3000:]}")
