"""A workspace, a server that may be killed, and one undisturbed job to compare with."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from pipelines.local.initialise import init_workspace
from pipelines.local.profiles import Profile
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.signing.key_folder import ensure_keys
from pipelines.registry.slot import Slot
from tests.support.guarded_server import guarded_command, guarded_environment
from tests.support.main_job import SETTINGS, Jobs, MainJob
from tests.support.mlflow_server import free_port, running
from tests.support.new_databases import new_mlflow_database
from tests.support.public_state import public_state
from tests.support.workspaces import delivery, isolate


@dataclass
class Plant:
    """What the jobs of the tests work in. Each job has a slot of its own."""

    folder: Path
    workspace: Workspace
    jobs: Jobs
    port: int
    database: str
    """SQLAlchemy URI."""
    points: list[str] = field(default_factory=list)
    """Fail points that an undisturbed job reaches, in their order: ``NAME#TIME``."""
    server_points: list[str] = field(default_factory=list)
    """The same of the server."""
    expected: dict[str, Any] = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _server: BaseProcess | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def server(self) -> int:
        """Process id of the leader of the server's group."""
        assert self._server is not None
        assert self._server.pid
        return self._server.pid

    def new_job(self) -> MainJob:
        number = next(self._numbers)
        # the cache of another slot with the same data would hide writes
        place = {"delivery": str(self.folder / "delivery"), "cache": str(self.folder / "cache" / str(number))}
        return MainJob(root=str(self.workspace.root), uri=self.uri, slot=f"plant-{number}/asr", **place)

    def more_jobs(self, log: Path, before: tuple[str, ...] = ()) -> Jobs:
        """Start a second process of jobs; a test's own environment lacks the keys of the module's plant."""
        keys = {"ELP_KEYS": str(self.folder / "server" / "keys")}
        return Jobs(log, before, keys)

    def serve(self, **environment: str) -> None:
        """Start the server, again if it runs."""
        self.end_server()
        folder = self.folder / "server"
        command = guarded_command(folder, self.database, self.port)
        self._server = self._stack.enter_context(
            running(command, self.port, folder, guarded_environment(folder, environment))
        )

    def signal_server(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.server, number)

    def end_server(self) -> None:
        self._stack.close()

    def state(self, job: MainJob) -> dict[str, Any]:
        return public_state(self.workspace, Slot.parse(job.slot), self.uri)

    def check_healed(self, job: MainJob) -> None:
        """Run the job again, and compare the state with an undisturbed one."""
        assert self.jobs.run(job) == 0, self.jobs.log.read_text()[-3000:]
        assert self.state(job) == self.expected


@contextlib.contextmanager
def plant_with_a_job(folder: Path, database: str = "", profile: Profile | None = None) -> Iterator[Plant]:
    """Give a plant whose first slot has had its job without a fault; `profile` may name another DVC remote."""
    from elp_core.testing import save_tiny

    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        save_tiny(folder / "backbone")
        profile = profile or Profile()
        workspace = init_workspace(folder / "site", profile=profile)
        settings = f"remote: {profile.remote}\n{SETTINGS.format(backbone=folder / 'backbone')}"
        (workspace.root / "elp.yaml").write_text(settings, encoding="utf-8")
        subprocess.run(["git", "-C", str(workspace.root), "commit", "-q", "-am", "Set it up"], check=True)
        delivery(folder / "delivery")
        server = folder / "server"
        server.mkdir()
        ensure_keys(server / "keys")
        patch.setenv("ELP_KEYS", str(server / "keys"))
        patch.setenv("ELP_LEDGER_CHECKPOINT", str(server / "ledger-head.json"))
        jobs = Jobs(folder / "jobs.log")
        if not database:
            new_mlflow_database(server / "mlflow.db")
            database = f"sqlite:///{server / 'mlflow.db'}"
        made = Plant(folder, open_workspace(workspace.root), jobs, free_port(), database)
        try:
            made.serve(ELP_FAIL_POINT_LOG=str(folder / "server-points"))
            first = made.new_job()
            assert made.jobs.run(first, ELP_FAIL_POINT_LOG=str(folder / "points")) == 0, made.jobs.log.read_text()
            made.points = (folder / "points").read_text().splitlines()
            made.server_points = (folder / "server-points").read_text().splitlines()
            made.expected = made.state(first)
            assert (made.expected["left"], made.expected["uncommitted"]) == ([], "")
            yield made
        finally:
            made.end_server()
            made.jobs.end()
