"""``elp promote --override``, ``elp approve | withdraw``: the two-person override."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from pipelines.cli.options import json_option, slot_argument, workspace_option
from pipelines.cli.output import emit
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

T = TypeVar("T")


@dataclass(frozen=True)
class Wish:
    """What ``--override`` asks for."""

    reason: str
    days: float


def override_options(function: Callable[..., T]) -> Callable[..., T]:
    """Add ``--override --reason TEXT --days N``; the function gets `wish: Wish | None`."""

    @click.option("--override", is_flag=True, help="Ask a second person to let it serve without a verdict.")
    @click.option("--reason", default="", metavar="TEXT", help="Why the override; shown wherever it is.")
    @click.option("--days", type=float, metavar="N", help="How long the override holds [default: 7].")
    @functools.wraps(function)
    def wrapped(*args: Any, override: bool, reason: str, days: float | None, **kwargs: Any) -> T:
        if not override and (reason or days is not None):
            raise click.UsageError("--reason and --days belong to --override")
        if override and not reason.strip():
            raise click.UsageError("--override needs --reason TEXT")
        wish = Wish(reason, 7.0 if days is None else days) if override else None
        return function(*args, wish=wish, **kwargs)

    return wrapped


def ask_override(slot: Slot, version: int | None, wish: Wish, as_json: bool, workspace: Workspace) -> None:
    """Ask for an override, as `elp promote --override` does."""
    from pipelines.local.addresses import mlflow_uri
    from pipelines.registry.client import server_api as guard

    if version is None:
        raise click.UsageError("--override needs --version N: it is never the challenger by default")
    asked = guard.request_override(mlflow_uri(workspace), slot, version, wish.reason, wish.days)
    emit(
        asked, as_json, lambda a: f"{slot} v{version}: {a['asked_by']} asks; another user approves: elp approve {slot}"
    )


@click.command()
@slot_argument
@json_option
@workspace_option
def approve(slot: Slot, as_json: bool, workspace: Workspace) -> None:
    """Approve the override that another user asked for: the version serves from now on, for the days asked for.

    You log in by MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, as a user with the role promoter.
    """
    from pipelines.local.addresses import mlflow_uri
    from pipelines.registry.client import server_api as guard

    done = guard.approve_override_request(mlflow_uri(workspace), slot)
    emit(done, as_json, lambda d: f"{slot}: v{d['version']} serves by override until {d['until'][:16]} UTC")
    warn_of(f"{slot} v{done['version']}", f"asked by {done['asked_by']}, approved by {done['approved_by']}")


@click.command()
@slot_argument
@click.option("--reason", default="", metavar="TEXT", help="Why, for the record.")
@json_option
@workspace_option
def withdraw(slot: Slot, reason: str, as_json: bool, workspace: Workspace) -> None:
    """End an override before its time; the champion before comes back. Or take the wish for one back."""
    from pipelines.local.addresses import mlflow_uri
    from pipelines.registry.client import server_api as guard

    done = guard.withdraw_override_request(mlflow_uri(workspace), slot, reason)
    emit(done, as_json, lambda d: f"{slot}: the override of v{d['version']} is over")


def warn_of(name: str, override: str) -> None:
    """Say in red that a version serves without a verdict that counts; nothing where it does not."""
    if override:
        click.echo(click.style(f"{name}: OVERRIDE, no verdict that counts: {override}", fg="red", bold=True), err=True)
