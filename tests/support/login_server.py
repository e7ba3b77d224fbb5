"""A guarded server that requires a login, with a user of every role."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.local import accounts
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from pipelines.registry.client import users
from pipelines.registry.client.connection import Account
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.rest import Rest

PASSWORD = "correct horse battery"
ROLES = {
    "anna": ("promoter",),
    "berta": ("promoter",),
    "carl": ("trainer",),
    "dora": ("auditor",),
    "emil": ("promoter", "trainer"),
}


@dataclass(frozen=True)
class LoginServer:
    """The running server, and requests by each user."""

    guarded: GuardedServer
    workspace: Workspace
    admin: Account

    @property
    def uri(self) -> str:
        """Its address."""
        return self.guarded.uri

    def users(self) -> users.Server:
        """Return the accounts, as the administrator manages them."""
        return users.Server(self.uri, self.admin)

    def rest(self, name: str = "") -> Rest:
        """Return requests by this user; without a name, requests without a login."""
        if not name:
            return Rest(self.uri)
        password = self.admin.password if name == self.admin.name else PASSWORD
        return Rest(self.uri, (name, password))


@contextlib.contextmanager
def login_server(
    folder: Path, database: str | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[LoginServer]:
    """Run the guarded server with a login; all its files are in `folder`, the registry too if `database` is None.

    `environment` is on top of the usual.
    """
    workspace = Workspace(folder, Settings())
    accounts.create(workspace)
    admin = accounts.first_admin(workspace)
    assert admin is not None
    environment = accounts.login_environment(workspace) | dict(environment or {})
    with guarded_server(folder / "server", database, environment) as running:
        server = LoginServer(running, workspace, admin)
        for name, roles in ROLES.items():
            users.add_user(server.users(), name, PASSWORD, roles)
        yield server
