"""The command `mlflow server`, forked from a process that has imported MLflow and the guard once.

The importing process is multiprocessing's fork server, one for each test process. As with the command line, one process
reads the options and prepares the database, and a child of it serves with uvicorn.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any


def fork_server(command: list[str], folder: Path, environment: Mapping[str, str]) -> BaseProcess:
    """Run ``mlflow COMMAND`` in `folder` as the leader of a new process group; its log is added to server.log."""
    server = fork_context().Process(target=_run, args=(command, str(folder), dict(environment)), daemon=True)
    server.start()
    return server


def fork_context() -> ForkServerContext:
    """Return the context whose processes have imported the server."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.server_imports"])
    return context


def _run(command: list[str], folder: str, environment: dict[str, str]) -> None:
    """Be the process of the command line; its child is the process of uvicorn."""
    os.setsid()
    log = os.open(Path(folder) / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    orders, order = multiprocessing.Pipe(duplex=False)
    served = os.fork()
    if served == 0:
        # nothing of what the command line sets up in its own process is in this one
        order.close()
        arguments, more = orders.recv()
        os.environ.update(more)
        importlib.import_module("uvicorn.main").main(arguments)

    def serve(full_command: list[str], *, extra_env: Mapping[str, str], **_: Any) -> _Uvicorn:
        # the full command is: PYTHON -m uvicorn ARGUMENTS
        order.send((full_command[3:], dict(extra_env)))
        return _Uvicorn(served)

    importlib.import_module("mlflow.server")._exec_cmd = serve
    importlib.import_module("mlflow.cli").cli(command)


@dataclass(frozen=True)
class _Uvicorn:
    """What MLflow's command line asks of the process that it has started."""

    pid: int

    def poll(self) -> None:
        """Say that the process runs."""

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
