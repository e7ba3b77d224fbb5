"""The users of an MLflow server with a login, and their roles: MLflow's own accounts, over its API.

Every function raises UsageError for a name, password or role that is not allowed, RegistryError if the server refuses
or there is no such user, and ServiceError if no server answers.
"""

import re
from dataclasses import dataclass
from typing import Any

from pipelines.errors import RegistryError, UsageError
from pipelines.registry.client.connection import PASSWORD, USERNAME, Account, send_request
from pipelines.registry.plain_json import reason_in

ADMIN_ROLE = "admin"
"""Not one of MLflow's roles: its administrators may do everything."""
ROLE_NAMES = ("auditor", "trainer", "promoter", ADMIN_ROLE)
PASSWORD_LENGTH = 12
"""Characters at least; MLflow's own rule."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}")
_TAKEN = ("server", "unknown")
"""Names in the ledger of the server itself, and of a caller who sent no name."""
_WORKSPACE = "default"


@dataclass(frozen=True)
class User:
    """One account."""

    name: str
    roles: tuple[str, ...]
    """Some of `ROLE_NAMES`, sorted; empty for a read-only user."""


@dataclass(frozen=True)
class Server:
    """An MLflow server with a login, and the account that makes the requests."""

    uri: str
    account: Account

    def call(self, method: str, path: str, version: str = "2.0", **content: Any) -> Any:
        """Send a request to the server's API and return the JSON of its answer."""
        given = "params" if method == "GET" else "json"
        answer = send_request(self.uri, method, f"/api/{version}/mlflow/{path}", self.account, **{given: content})
        if answer.ok:
            return answer.json() if answer.content else {}
        if answer.status_code == 401:
            raise RegistryError(
                f"the MLflow server at {self.uri} does not know {self.account.name} with this password; set "
                f"{USERNAME} and {PASSWORD} to an administrator's"
            )
        if answer.status_code == 404:
            raise RegistryError(
                f"the MLflow server at {self.uri} has no login, so it has no users; start it with: elp up --auth"
            )
        raise RegistryError(f"the MLflow server at {self.uri} refused: {reason_in(answer.text) or answer.status_code}")


def list_users(server: Server) -> list[User]:
    """Return all accounts, by name."""
    found = server.call("GET", "users/list")["users"]
    return sorted((_user(raw) for raw in found), key=lambda user: user.name)


def add_user(server: Server, name: str, password: str, roles: tuple[str, ...]) -> User:
    """Create an account; RegistryError if there is already a user with this name."""
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise UsageError(
            f"{name!r} is not a user name; expected lower-case letters, digits and . _ @ - (63 at most), so that no "
            f"two names look alike, and none of {', '.join(_TAKEN)}"
        )
    _check(password, roles)
    if any(user.name == name for user in list_users(server)):
        raise RegistryError(f"user {name} exists already; change the roles with: elp users role {name} ROLE…")
    server.call("POST", "users/create", username=name, password=password)
    return set_user_roles(server, name, roles)


def set_user_roles(server: Server, name: str, roles: tuple[str, ...]) -> User:
    """Give a user exactly these roles."""
    _check(None, roles)
    held = _find(server, name)
    ids = {r["name"]: r["id"] for r in server.call("GET", "roles/list", "3.0", workspace=_WORKSPACE)["roles"]}
    # new roles first: if the server stops in between, the user has too many roles for a while, and not none
    for role in sorted({*roles} - {*held.roles, ADMIN_ROLE}):
        server.call("POST", "roles/assign", "3.0", username=name, role_id=ids[role])
    for role in sorted({*held.roles} - {*roles, ADMIN_ROLE}):
        server.call("DELETE", "roles/unassign", "3.0", username=name, role_id=ids[role])
    if (ADMIN_ROLE in roles) != (ADMIN_ROLE in held.roles):
        server.call("PATCH", "users/update-admin", username=name, is_admin=ADMIN_ROLE in roles)
    return _find(server, name)


def remove_user(server: Server, name: str) -> None:
    """Delete an account other than that of the request; the ledger keeps the name."""
    _find(server, name)
    server.call("DELETE", "users/delete", username=name)


def set_password(server: Server, name: str, password: str) -> None:
    """Change a password. An administrator can change every password, other users their own."""
    _check(password, ())
    # MLflow requires the present password from a user who changes the own one
    own = {"current_password": server.account.password} if name == server.account.name else {}
    server.call("PATCH", "users/update-password", username=name, password=password, **own)


def _find(server: Server, name: str) -> User:
    for user in list_users(server):
        if user.name == name:
            return user
    raise RegistryError(f"there is no user {name}; list the users with: elp users list")


def _user(raw: dict[str, Any]) -> User:
    roles = [r["name"] for r in raw.get("roles", ()) if r["name"] in ROLE_NAMES and r["workspace"] == _WORKSPACE]
    return User(raw["username"], tuple(sorted([*roles, *([ADMIN_ROLE] if raw["is_admin"] else [])])))


def _check(password: str | None, roles: tuple[str, ...]) -> None:
    unknown = [role for role in roles if role not in ROLE_NAMES]
    if unknown:
        raise UsageError(f"unknown role {', '.join(unknown)}; expected {', '.join(ROLE_NAMES)}")
    if password is not None and len(password) < PASSWORD_LENGTH:
        raise UsageError(f"the password has {len(password)} characters; expected {PASSWORD_LENGTH} or more")
