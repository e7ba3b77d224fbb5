"""``elp users list | add | role | remove | password``: who may log in, and what they may do."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import json_option, workspace_option
from pipelines.cli.output import emit, progress, table
from pipelines.local.workspace import Workspace
from pipelines.registry.client.users import ROLE_NAMES

if TYPE_CHECKING:
    from pipelines.registry.client.users import Server, User

_role = click.Choice(ROLE_NAMES)


@click.group()
def users() -> None:
    """Say who may log in to the MLflow server, and what they may do.

    Asks as the user in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, else as the first administrator of
    `elp up --auth`.
    """


@users.command(name="list")
@json_option
@workspace_option
def list_(as_json: bool, workspace: Workspace) -> None:
    """List who may log in."""
    from pipelines.registry.client import users as client

    emit(client.list_users(_server(workspace)), as_json, _listing)


@users.command()
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, type=_role, help="May stand twice.")
@json_option
@workspace_option
def add(name: str, roles: tuple[str, ...], as_json: bool, workspace: Workspace) -> None:
    """Let NAME log in. The password is asked for, or read as one line from standard input."""
    from pipelines.registry.client import users as client

    made = client.add_user(_server(workspace), name, _password(name), roles)
    emit(made, as_json, lambda user: f"{user.name} may log in: {', '.join(user.roles)}")


@users.command(short_help="Give NAME exactly these roles.")
@click.argument("name")
@click.argument("roles", nargs=-1, required=True, type=_role, metavar="ROLE…")
@json_option
@workspace_option
def role(name: str, roles: tuple[str, ...], as_json: bool, workspace: Workspace) -> None:
    """Give NAME exactly these roles: auditor (read), trainer, promoter, admin."""
    from pipelines.registry.client import users as client

    made = client.set_user_roles(_server(workspace), name, roles)
    emit(made, as_json, lambda user: f"{user.name}: {', '.join(user.roles)}")


@users.command()
@click.argument("name")
@json_option
@workspace_option
def remove(name: str, as_json: bool, workspace: Workspace) -> None:
    """Let NAME no longer log in; what they did stays in the ledger."""
    from pipelines.registry.client import users as client

    client.remove_user(_server(workspace), name)
    emit({"removed": name}, as_json, lambda _: f"{name} may no longer log in")


@users.command(short_help="Change NAME's password.")
@click.argument("name")
@json_option
@workspace_option
def password(name: str, as_json: bool, workspace: Workspace) -> None:
    """Change NAME's password: an administrator anyone's, everyone their own."""
    from pipelines.local import accounts
    from pipelines.registry.client import users as client

    server = _server(workspace)
    client.set_password(server, name, _password(name))
    first = accounts.first_admin(workspace)
    if first is not None and first.name == name and not workspace.settings.servers.mlflow_uri:
        accounts.forget_first_password(workspace)
        progress("from now on `elp users` needs MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
    emit({"changed": name}, as_json, lambda _: f"the password of {name} is changed")


def _server(workspace: Workspace) -> Server:
    from pipelines.errors import UsageError
    from pipelines.local import accounts
    from pipelines.local.addresses import mlflow_uri
    from pipelines.registry.client.connection import PASSWORD, USERNAME, Account
    from pipelines.registry.client.users import Server

    given, own = os.environ.get(USERNAME), not workspace.settings.servers.mlflow_uri
    account = accounts.first_admin(workspace) if own else None
    if given:
        account = Account(given, os.environ.get(PASSWORD, ""))
    if account is None:
        raise UsageError(
            f"who asks? Set {USERNAME} and {PASSWORD} to an administrator's, or start a server with "
            "a login: elp up --auth"
        )
    return Server(mlflow_uri(workspace), account)


def _password(name: str) -> str:
    """Asked for twice on a terminal, else one line of standard input; never an argument, which others could see."""
    if sys.stdin.isatty():
        asked: str = click.prompt(f"password of {name}", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    return sys.stdin.readline().rstrip("\n")


def _listing(found: list[User]) -> str:
    return table(["user", "roles"], [[user.name, ", ".join(user.roles) or "read only"] for user in found])
