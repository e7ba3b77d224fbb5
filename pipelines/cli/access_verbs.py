"""`elp users`, `elp keys`: who may log in, with which roles, and the keys that sign."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pipelines.cli.options import on_workspace, opens
from pipelines.cli.output import emit, progress, table
from pipelines.errors import UsageError
from pipelines.local import accounts
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.client import users as client
from pipelines.registry.client.connection import PASSWORD, USERNAME
from pipelines.registry.signing import key_folder as folders
from pipelines.registry.signing.keys import (
    FOLDER_VARIABLE,
    ROLES,
    Role,
    TrustedKey,
    key_folder,
    load_trusted_keys,
    write_keys,
)

_user_role = click.Choice(client.ROLE_NAMES)
_one = click.argument("key", metavar="KEY")
_several = click.argument("chosen", metavar="[KEY]...", nargs=-1)
# with ELP_KEYS no workspace is looked for: a server that only keeps the ledger has none
on_key_folder = opens(
    "folder", lambda start: key_folder(None if os.environ.get(FOLDER_VARIABLE) else open_workspace(start).state)
)


def _roles(user: client.User) -> str:
    return f"{user.name}: {', '.join(user.roles)}"


def _listing(found: list[client.User]) -> str:
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
@click.option("--role", "roles", multiple=True, required=True, type=_user_role, help="Can be given several times.")
@on_workspace
def create_user(workspace: Workspace, name: str, roles: tuple[str, ...]) -> None:
    """Let NAME log in. The password is asked for, or read as one line from standard input."""
    emit(client.add_user(_server(workspace), name, _password(name), roles), _roles)


@users.command(name="role", short_help="Give NAME exactly these roles.")
@click.argument("name")
@click.argument("roles", nargs=-1, required=True, type=_user_role, metavar="ROLE…")
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
    # imports psutil, which the verbs of `keys` do without
    from pipelines.local.addresses import mlflow_uri

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


@click.group()
def keys() -> None:
    """Make, list, replace and exchange the keys that sign lineages, verdicts and the ledger.

    They are stored in `.elp/keys` of the workspace, or in the folder in ELP_KEYS. A KEY is the beginning of its id (8
    digits or more), or its name if exactly one active key has it.
    """


@keys.command(name="list", short_help="List the keys that are trusted or can sign here.")
@on_key_folder
def list_keys(folder: Path) -> None:
    """List the keys that are trusted here, and which of them can sign here."""
    _print(folder, load_trusted_keys(folder).keys, f"{folder} trusts no key")


@keys.command()
@click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, required=True, help="What it may sign.")
@click.option("--name", help="For people [default: its roles].")
@on_key_folder
def new(folder: Path, roles: tuple[Role, ...], name: str | None) -> None:
    """Make a key pair; its private half stays in this folder."""
    _report(folder, [folders.new_key(folder, name or "-".join(dict.fromkeys(roles)), roles)])


@keys.command(short_help="Replace keys by new ones; the old ones are retired.")
@_several
@on_key_folder
def rotate(folder: Path, chosen: tuple[str, ...]) -> None:
    """Replace keys by new ones of the same names and roles; the old ones are retired.

    Without KEY: every active key whose private half is here. What the ledger recorded stays verifiable.
    """
    trusted = load_trusted_keys(folder)
    wanted = chosen or [key.keyid for key in trusted.keys if key.active and trusted.signs(key)]
    _report(folder, [key for name in wanted for key in folders.rotate_key(folder, name)])


@keys.command(name="retire")
@_one
@on_key_folder
def retire_verb(folder: Path, key: str) -> None:
    """Stop signing with KEY, and delete its private half here. What the ledger recorded before remains valid."""
    _report(folder, [folders.retire_key(folder, key)])


@keys.command(short_help="Trust nothing that KEY ever signed.")
@_one
@on_key_folder
def revoke(folder: Path, key: str) -> None:
    """Trust nothing that KEY ever signed, and delete its private half here. It cannot be undone.

    Use it for a key that somebody else may have. Versions whose lineage or verdict it signed need new ones: train or
    gate them again.
    """
    _report(folder, [folders.revoke_key(folder, key)])


@keys.command(short_help="Trust public keys of another machine.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True), metavar="FILE")
@on_key_folder
def add(folder: Path, file: str) -> None:
    """Trust the public keys in FILE (- for stdin), which `elp keys export` wrote on another machine."""
    with click.open_file(file, "rb") as source:
        _report(folder, folders.add_keys(folder, source.read(), file))


@keys.command(short_help="Print public keys as JSON.")
@_several
@on_key_folder
def export(folder: Path, chosen: tuple[str, ...]) -> None:
    """Print public keys as JSON, for `elp keys add` on another machine or for an auditor [default: all]."""
    trusted = load_trusted_keys(folder)
    found = tuple(folders.choose_key(trusted, key) for key in chosen) if chosen else trusted.keys
    click.echo(write_keys(found), nl=False)


def _report(folder: Path, changed: Sequence[TrustedKey]) -> None:
    """Print the keys that a verb changed; and, on stderr, the roles without an active key."""
    _print(folder, changed, "these are trusted already")
    trusted = load_trusted_keys(folder)
    for role in ROLES:
        if not trusted.active(role):
            progress(f"no active key for the role {role} is left; make one: elp keys new --role {role}")


def _print(folder: Path, found: Sequence[TrustedKey], empty: str) -> None:
    trusted = load_trusted_keys(folder)
    heads = ("key", "name", "roles", "state", "signs here", "created")
    rows = [
        (key.keyid[:12], key.name, ", ".join(key.roles), key.state, trusted.signs(key), key.created[:19])
        for key in found
    ]
    values = [{**key.to_json(), "state": key.state, "signs_here": trusted.signs(key)} for key in found]
    emit(values, lambda _: table(heads, rows, empty))
