"""`elp keys list | new | rotate | retire | revoke | add | export`: the keys that sign."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from pipelines.cli.options import find_workspace, json_option
from pipelines.cli.output import emit, progress, table
from pipelines.registry.signing.keys import FOLDER_VARIABLE, ROLES, KeyRing, Role, TrustedKey, key_folder

T = TypeVar("T")


def folder_option(function: Callable[..., T]) -> Callable[..., T]:
    """Add ``--workspace/-w``; the function gets the key `folder: Path`: ELP_KEYS, else that of the workspace.

    With ELP_KEYS no workspace is needed: a server that only keeps the ledger has none.
    """

    @click.option("-w", "--workspace", "place", type=click.Path(path_type=Path), metavar="DIR", help="The workspace.")
    @click.pass_context
    @functools.wraps(function)
    def wrapped(ctx: click.Context, /, *args: Any, place: Path | None, **kwargs: Any) -> T:
        # with ELP_KEYS the workspace is not even looked for
        state = None if os.environ.get(FOLDER_VARIABLE) else find_workspace(ctx, place).state
        return ctx.invoke(function, *args, folder=key_folder(state), **kwargs)

    return wrapped


@click.group()
def keys() -> None:
    """Make, list, replace and exchange the keys that sign lineages, verdicts and the ledger.

    They are stored in `.elp/keys` of the workspace, or in the folder in ELP_KEYS. A KEY is the beginning of its id (8
    digits or more), or its name if exactly one active key has it.
    """


@keys.command(name="list", short_help="List the keys that are trusted or can sign here.")
@json_option
@folder_option
def list_keys(folder: Path, as_json: bool) -> None:
    """List the keys that are trusted here, and which of them can sign here."""
    from pipelines.registry.signing.keys import load_trusted_keys

    trusted_keys = load_trusted_keys(folder)
    emit(_listed(trusted_keys, trusted_keys.keys), as_json, lambda rows: _table(rows, folder))


@keys.command()
@click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, required=True, help="What it may sign.")
@click.option("--name", help="For people [default: its roles].")
@json_option
@folder_option
def new(folder: Path, roles: tuple[Role, ...], name: str | None, as_json: bool) -> None:
    """Make a key pair; its private half stays in this folder."""
    from pipelines.registry.signing.key_folder import new_key

    made = new_key(folder, name or "-".join(dict.fromkeys(roles)), roles)
    _report(folder, [made], as_json)


@keys.command(short_help="Replace keys by new ones; the old ones are retired.")
@click.argument("chosen", metavar="[KEY]...", nargs=-1)
@json_option
@folder_option
def rotate(folder: Path, chosen: tuple[str, ...], as_json: bool) -> None:
    """Replace keys by new ones of the same names and roles; the old ones are retired.

    Without KEY: every active key whose private half is here. What the ledger recorded stays verifiable.
    """
    from pipelines.registry.signing.key_folder import rotate_key
    from pipelines.registry.signing.keys import load_trusted_keys

    trusted_keys = load_trusted_keys(folder)
    wanted = chosen or [key.keyid for key in trusted_keys.keys if key.active and trusted_keys.signs(key)]
    pairs = [rotate_key(folder, key) for key in wanted]
    _report(folder, [key for pair in pairs for key in pair], as_json)


@keys.command(name="retire")
@click.argument("key", metavar="KEY")
@json_option
@folder_option
def retire_verb(folder: Path, key: str, as_json: bool) -> None:
    """Stop signing with KEY, and delete its private half here. What the ledger recorded before remains valid."""
    from pipelines.registry.signing.key_folder import retire_key

    _report(folder, [retire_key(folder, key)], as_json)


@keys.command(short_help="Trust nothing that KEY ever signed.")
@click.argument("key", metavar="KEY")
@json_option
@folder_option
def revoke(folder: Path, key: str, as_json: bool) -> None:
    """Trust nothing that KEY ever signed, and delete its private half here. It cannot be undone.

    Use it for a key that somebody else may have. Versions whose lineage or verdict it signed need new ones: train or
    gate them again.
    """
    from pipelines.registry.signing.key_folder import revoke_key

    _report(folder, [revoke_key(folder, key)], as_json)


@keys.command(short_help="Trust public keys of another machine.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True), metavar="FILE")
@json_option
@folder_option
def add(folder: Path, file: str, as_json: bool) -> None:
    """Trust the public keys in FILE (- for stdin), which `elp keys export` wrote on another machine."""
    from pipelines.registry.signing.key_folder import add_keys

    with click.open_file(file, "rb") as source:
        text = source.read()
    _report(folder, add_keys(folder, text, file), as_json)


@keys.command(short_help="Print public keys as JSON.")
@click.argument("chosen", metavar="[KEY]...", nargs=-1)
@click.option("--json", "_", is_flag=True, hidden=True, help="It is JSON always.")
@folder_option
def export(folder: Path, chosen: tuple[str, ...], _: bool) -> None:
    """Print public keys as JSON, for `elp keys add` on another machine or for an auditor [default: all]."""
    from pipelines.registry.signing.key_folder import choose_key
    from pipelines.registry.signing.keys import load_trusted_keys, write_keys

    trusted_keys = load_trusted_keys(folder)
    found = tuple(choose_key(trusted_keys, key) for key in chosen) if chosen else trusted_keys.keys
    click.echo(write_keys(found), nl=False)


def _report(folder: Path, changed: Sequence[TrustedKey], as_json: bool) -> None:
    """Print the keys that a verb changed; and, on stderr, the roles without an active key."""
    from pipelines.registry.signing.keys import load_trusted_keys

    trusted_keys = load_trusted_keys(folder)
    emit(
        _listed(trusted_keys, changed),
        as_json,
        lambda rows: _table(rows, folder) if rows else "these are trusted already",
    )
    for role in ROLES:
        if not trusted_keys.active(role):
            progress(f"no active key for the role {role} is left; make one: elp keys new --role {role}")


def _listed(trusted_keys: KeyRing, found: Sequence[TrustedKey]) -> list[dict[str, Any]]:
    return [{**key.to_json(), "state": key.state, "signs_here": trusted_keys.signs(key)} for key in found]


def _table(rows: list[dict[str, Any]], folder: Path) -> str:
    cells = [
        (row["keyid"][:12], row["name"], ", ".join(row["roles"]), row["state"], row["signs_here"], row["created"][:19])
        for row in rows
    ]
    return table(("key", "name", "roles", "state", "signs here", "created"), cells, f"{folder} trusts no key")
