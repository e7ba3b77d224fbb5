"""`elp users list | add | role | remove | password`: who may log in, and with which roles."""

from __future__ import annotations

import sys

import click

from pipelines.cli.options import on_workspace
from pipelines.cli.output import emit, progress, table
from pipelines.errors import UsageError
from pipelines.local import accounts
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.registry.client import users as client
from pipelines.registry.client.connection import PASSWORD, USERNAME
from pipelines.registry.client.users import ROLE_NAMES, User

_role = click.Choice(ROLE_NAMES)


def _roles(user: User) -> str:
    return f"{user.name}: {', '.join(user.roles)}"


def _listing(found: list[User]) -> str:
    return table(["user", "roles"], [[user.name, ", ".join(user.roles) or "read only"] for user in found])


@click.group()
def users() -> None:
    """Manage who may log in to the MLflow server, and with which roles.

    The request is made as the user in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, else as the first
    administrator of `elp up --auth`.
    """


@users.command(name="list")
@on_workspace
def show_users(workspace: Workspace) -> None:
    """List the users and their roles."""
    emit(client.list_users(_server(workspace)), _listing)


@users.command(name="add")
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, type=_role, help="Can be given several times.")
@on_workspace
def create_user(workspace: Workspace, name: str, roles: tuple[str, ...]) -> None:
    """Let NAME log in. The password is asked for, or read as one line from standard input."""
    emit(client.add_user(_server(workspace), name, _password(name), roles), _roles)


@users.command(name="role", short_help="Give NAME exactly these roles.")
@click.argument("name")
@click.argument("roles", nargs=-1, required=True, type=_role, metavar="ROLE…")
@on_workspace
def set_role(workspace: Workspace, name: str, roles: tuple[str, ...]) -> None:
    """Give NAME exactly these roles: auditor (read), trainer, promoter, admin."""
    emit(client.set_user_roles(_server(workspace), name, roles), _roles)


@users.command(name="remove")
@click.argument("name")
@on_workspace
def delete_user(workspace: Workspace, name: str) -> None:
    """Let NAME no longer log in; what they did stays in the ledger."""
    client.remove_user(_server(workspace), name)
    emit({"removed": name}, lambda _: f"{name} may no longer log in")


@users.command(name="password", short_help="Change NAME's password.")
@click.argument("name")
@on_workspace
def change_password(workspace: Workspace, name: str) -> None:
    """Change NAME's password: an administrator can change every password, others their own."""
    client.set_password(_server(workspace), name, _password(name))
    first = accounts.first_admin(workspace)
    if first is not None and first.name == name and not workspace.settings.servers.mlflow_uri:
        accounts.forget_first_password(workspace)
        progress("from now on `elp users` needs MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
    emit({"changed": name}, lambda _: f"the password of {name} is changed")


def _server(workspace: Workspace) -> client.Server:
    account = accounts.given_account(workspace, accounts.first_admin)
    if account is None:
        raise UsageError(
            f"no account to ask as: set {USERNAME} and {PASSWORD} to an administrator's, or start a server with "
            "a login: elp up --auth"
        )
    return client.Server(mlflow_uri(workspace), account)


def _password(name: str) -> str:
    """Ask twice on a terminal, else read one line of standard input; never an argument, which other users could see."""
    if sys.stdin.isatty():
        asked: str = click.prompt(f"password of {name}", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    return sys.stdin.readline().rstrip("\n")
