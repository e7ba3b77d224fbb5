"""The MLflow server with a login and Prefect behind it, as `elp up --auth` starts them, without workers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.local import accounts
from pipelines.local import http_client as web
from pipelines.local import service_commands as commands
from pipelines.local.processes import start, stop, tail
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from tests.support.login_server import LoginServer, login_server
from tests.support.new_databases import new_prefect_database

START_SECONDS = 300.0


@dataclass(frozen=True)
class FrontServers:
    """Both servers, and the key that Prefect asks for."""

    login: LoginServer
    prefect: str
    """Address of the Prefect server itself."""
    key: str

    @property
    def uri(self) -> str:
        """Address of the front."""
        return self.login.uri


@contextlib.contextmanager
def front_servers(folder: Path) -> Iterator[FrontServers]:
    """Run both servers with their files in `folder`."""
    port = web.free_port("127.0.0.1")
    prefect = f"http://127.0.0.1:{port}"
    workspace = Workspace(folder, Settings())
    accounts.create(workspace)
    key = accounts.prefect_key(workspace)
    with login_server(folder, environment=commands.showing_prefect(prefect, key)) as login:
        environment = commands.server_environment(workspace) | {"PREFECT_API_URL": f"{prefect}/api"}
        environment |= commands.behind_the_front(workspace, login.uri, key)
        new_prefect_database(Path(environment["PREFECT_HOME"]))
        process = start("prefect", commands.prefect_command("127.0.0.1", port), environment, folder / "log", prefect)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not web.answers(f"{prefect}/api/health"):
                assert time.monotonic() < deadline, tail(folder / "log")
                time.sleep(0.5)
            yield FrontServers(login, prefect, key)
        finally:
            stop([process])
