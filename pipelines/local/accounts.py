"""What a server with a login keeps in `.elp/auth/`, readable by its owner only: its settings and two accounts.

| file | what |
|---|---|
| `server.ini` | MLflow's settings of basic auth: where the users are, and the first administrator's password |
| `users.db` | MLflow's users, passwords (hashed), roles |
| `secret-key` | signs the sessions of MLflow's pages |
| `service.json` | name and password of the account that the workers and `elp` use where no other is given |
"""

from __future__ import annotations

import configparser
import json
import os
import secrets
from pathlib import Path

from pipelines.errors import WorkspaceError
from pipelines.local.workspace import Workspace
from pipelines.registry.client.connection import USERNAME, Account

ADMIN = "admin"
SERVICE = "elp-service"

_STALE_SECONDS = 10
"""How long a checked password is remembered by a server process; a check takes tens of milliseconds."""


def create(workspace: Workspace) -> Account | None:
    """Make what a server with a login needs, where it is not there yet.

    Returns:
        The first administrator, where this call made the account; its password is shown once.
    """
    folder = _folder(workspace)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    _write_once(folder / "secret-key", secrets.token_urlsafe(32))
    _write_once(folder / "service.json", json.dumps({"username": SERVICE, "password": _password()}))
    admin = Account(ADMIN, _password())
    settings = configparser.ConfigParser()
    settings["mlflow"] = {
        "default_permission": "READ",
        # a percent sign is the ini format's own
        "database_uri": f"sqlite:///{folder / 'users.db'}".replace("%", "%%"),
        "admin_username": admin.name,
        "admin_password": admin.password,
        "auth_cache_ttl_seconds": str(_STALE_SECONDS),
    }
    return admin if _write_once(folder / "server.ini", _text(settings)) else None


def server_environment(workspace: Workspace) -> dict[str, str]:
    """What makes the guarded MLflow server ask for a login."""
    folder = _folder(workspace)
    return {
        "ELP_AUTH": "1",
        "ELP_SERVICE_ACCOUNT": str(folder / "service.json"),
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "server.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": _read(folder / "secret-key"),
    }


def service(workspace: Workspace) -> Account | None:
    """The account of this workspace's workers; None where its server never asked for a login."""
    path = _folder(workspace) / "service.json"
    if not path.is_file():
        return None
    try:
        raw = json.loads(_read(path))
        return Account(raw["username"], raw["password"])
    except (ValueError, KeyError) as error:
        raise WorkspaceError(f"{path} is damaged ({error}); delete it, then run: elp down, elp up") from error


def first_admin(workspace: Workspace) -> Account | None:
    """The administrator that `elp up --auth` made, as long as nobody gave it another password."""
    path = _folder(workspace) / "server.ini"
    settings = configparser.ConfigParser()
    settings.read(path, encoding="utf-8")
    password = settings.get("mlflow", "admin_password", fallback="")
    return Account(settings.get("mlflow", "admin_username"), password) if password else None


def forget_first_password(workspace: Workspace) -> None:
    """Take the first administrator's password out of `server.ini`: it holds no longer."""
    path = _folder(workspace) / "server.ini"
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(path, encoding="utf-8")
    settings.remove_option("mlflow", "admin_password")
    scratch = path.with_name(f"server.ini.{os.getpid()}")
    _write_once(scratch, _text(settings))
    os.replace(scratch, path)


def log_in(workspace: Workspace) -> None:
    """Let this process's MLflow client log in: as the user of the environment, else as the workspace's service account.

    Raises:
        WorkspaceError: where the account's file is damaged.
    """
    if os.environ.get(USERNAME):
        return
    account = service(workspace)
    if account is not None:
        os.environ.update(account.environment())


def _folder(workspace: Workspace) -> Path:
    return workspace.state / "auth"


def _password() -> str:
    return secrets.token_urlsafe(24)


def _text(settings: configparser.ConfigParser) -> str:
    from io import StringIO

    text = StringIO()
    settings.write(text)
    return text.getvalue()


def _write_once(path: Path, text: str) -> bool:
    """Write a file that only its owner may read; False where there is one already."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be read ({error}); make it anew with: elp up --auth") from error
