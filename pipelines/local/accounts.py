"""The files of a server with a login in `.elp/auth/`, readable by their owner only: settings and two accounts.

| file | content |
|---|---|
| `server.ini` | MLflow's settings of basic auth: the database of users, and the first administrator's password |
| `users.db` | MLflow's users, passwords (hashed), roles |
| `secret-key` | signs the sessions of MLflow's pages |
| `prefect-key` | what the Prefect server of `elp up` asks for; known to the front, the workers and `elp` |
| `service.json` | name and password of the account of the workers, and of `elp` if no other is given |
"""

import configparser
import io
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from elp_core.fail_points import durable_write
from elp_core.files import write_whole
from pipelines.errors import WorkspaceError
from pipelines.local.workspace import Workspace
from pipelines.registry.client.connection import PASSWORD, USERNAME, Account

SERVICE = "elp-service"

_SHORTEST_KEY = 40
_STALE_SECONDS = 10
"""How long a server process remembers a checked password; a check takes tens of milliseconds."""


def create(workspace: Workspace) -> Account | None:
    """Make the missing files of a server with a login; return the first administrator if this call made the account."""
    folder = workspace.state / "auth"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkdir leaves the mode of a folder that exists
    folder.chmod(0o700)
    _write_once(folder / "secret-key", secrets.token_urlsafe(32))
    _write_once(folder / "service.json", json.dumps({"username": SERVICE, "password": secrets.token_urlsafe(24)}))
    _write_once(folder / "prefect-key", f"elp:{secrets.token_urlsafe(32)}")
    admin = Account("admin", secrets.token_urlsafe(24))
    settings = configparser.ConfigParser()
    settings["mlflow"] = {
        "default_permission": "READ",
        # a percent sign is the ini format's own
        "database_uri": f"sqlite:///{folder / 'users.db'}".replace("%", "%%"),
        "admin_username": admin.name,
        "admin_password": admin.password,
        "auth_cache_ttl_seconds": str(_STALE_SECONDS),
    }
    # of two calls at once only the one whose file is kept knows the password
    return admin if _write_once(folder / "server.ini", _text(settings)) else None


def login_environment(workspace: Workspace) -> dict[str, str]:
    """Return the environment in which the guarded MLflow server asks for a login."""
    folder = workspace.state / "auth"
    return {
        "ELP_AUTH": "1",
        "ELP_SERVICE_ACCOUNT": str(folder / "service.json"),
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "server.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": _read(folder / "secret-key"),
    }


def service(workspace: Workspace) -> Account | None:
    """Return the account of this workspace's workers; None if its server never asked for a login."""
    path = workspace.state / "auth" / "service.json"
    if not path.is_file():
        return None
    try:
        raw = json.loads(_read(path))
        return Account(raw["username"], raw["password"])
    except (ValueError, KeyError) as error:
        raise WorkspaceError(f"{path} is damaged ({error}); delete it, then run: elp down, elp up") from error


def prefect_key(workspace: Workspace) -> str:
    """Return the key of this workspace's own Prefect server, which has one if its login is on.

    Raises WorkspaceError if its file is missing or damaged: a server without a key would be open.
    """
    path = workspace.state / "auth" / "prefect-key"
    key = _read(path).strip()
    if len(key) < _SHORTEST_KEY:
        raise WorkspaceError(f"{path} is damaged; delete it, then run: elp down, elp up")
    return key


def first_admin(workspace: Workspace) -> Account | None:
    """Return the administrator that `elp up --auth` made; None if the password was changed since."""
    path = workspace.state / "auth" / "server.ini"
    settings = configparser.ConfigParser()
    settings.read(path, encoding="utf-8")
    password = settings.get("mlflow", "admin_password", fallback="")
    return Account(settings.get("mlflow", "admin_username"), password) if password else None


def forget_first_password(workspace: Workspace) -> None:
    """Remove the first administrator's password from `server.ini`, after it was changed."""
    path = workspace.state / "auth" / "server.ini"
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(path, encoding="utf-8")
    settings.remove_option("mlflow", "admin_password")
    write_whole(path, _text(settings), mode=0o600)


def given_account(workspace: Workspace, own: Callable[[Workspace], Account | None]) -> Account | None:
    """Return the account in the environment, else `own` of the workspace's own server; None if there is neither."""
    if name := os.environ.get(USERNAME):
        return Account(name, os.environ.get(PASSWORD, ""))
    return None if workspace.settings.servers.mlflow_uri else own(workspace)


def service_login(workspace: Workspace) -> tuple[str, str] | None:
    """Return user name and password for requests of this system itself; None if there is no account."""
    account = given_account(workspace, service)
    return (account.name, account.password) if account else None


def log_in(workspace: Workspace) -> None:
    """Let this process's MLflow client log in: as the user of the environment, else as the workspace's service account.

    Raises WorkspaceError if the account's file is damaged.
    """
    if not os.environ.get(USERNAME) and (account := service(workspace)):
        os.environ.update(account.environment())


def _text(settings: configparser.ConfigParser) -> str:
    text = io.StringIO()
    settings.write(text)
    return text.getvalue()


def _write_once(path: Path, text: str) -> bool:
    """Write a file that only its owner may read; return False if it is there already."""
    # under another name first: a process that is killed while it writes must not leave a part of a key
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        # the mode is part of the call: a file that is made first and protected later can be read in between
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        with durable_write(f"account file {path.name}"):
            # unlike a rename, it does not replace what another process has written
            os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be read ({error}); make it again with: elp up --auth") from error
