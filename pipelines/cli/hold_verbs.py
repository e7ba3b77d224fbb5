"""`elp hold SUBJECT | hold list | hold end`: what must not be deleted until a date."""

from __future__ import annotations

from typing import Any

import click

from pipelines.cli.moments import DATE, read_moment
from pipelines.cli.options import complete_slot_at, on_workspace
from pipelines.cli.output import emit, table
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.registry.client.server_api import call_server, current_user, read_holds
from pipelines.registry.holds import HeldSubject, Hold

_subject = click.argument("subject", metavar="SUBJECT", shell_complete=complete_slot_at)
_reason = click.option("--reason", required=True, metavar="TEXT", help="The reason, for the record; no person's name.")
_by = click.option("--by", default="", metavar="NAME", help="Who decides [default: you].")


class HoldGroup(click.Group):
    """A group whose first argument is a verb, or what is to be held."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; anything else is a subject."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            args = ["make", *args]
        return super().resolve_command(ctx, args)


class HoldContext(click.Context):
    """The context of the verb that nobody types: its messages show the command line as it was typed."""

    @property
    def command_path(self) -> str:
        """Return ``elp hold``."""
        return self.parent.command_path if self.parent else super().command_path


class HoldCommand(click.Command):
    """Make a hold; `HoldGroup` chooses this command."""

    context_class = HoldContext


@click.group(cls=HoldGroup, subcommand_metavar="SUBJECT --until DATE --reason TEXT | list | end NUMBER")
def hold() -> None:
    """Keep something until a date, whatever the retention says: elp gc and MLflow's pages do not delete it.

    \b
    SUBJECT is one of
      SITE/TASK            a slot: all its adapters and dataset versions
      SITE/TASK@v3         adapter version 3, its data, its parent and its evidence
      data/SITE/TASK/v3    dataset version 3
      speaker:NAME         the recordings of a speaker; the ledger gets a digest of the name
    """


@hold.command(name="make", cls=HoldCommand, hidden=True)
@_subject
@click.option("--until", required=True, metavar="DATE", help=f"Last day (UTC), such as {DATE}, or a moment.")
@_reason
@_by
@on_workspace
def make_verb(workspace: Workspace, subject: str, until: str, reason: str, by: str) -> None:
    """Hold SUBJECT until a date."""
    from pipelines.retention.held_subjects import require_known_subject

    held, uri = HeldSubject.parse(subject), mlflow_uri(workspace)
    require_known_subject(workspace, uri, held)
    # the server gets a digest of a speaker's name, never the name
    body = {"subject": str(held), "until": read_moment("--until", until), "reason": reason, "by": by or current_user()}
    made = Hold(**call_server(uri, "POST", "/hold", json=body))
    emit(made, lambda done: f"hold {done.number}: {subject} is kept until {done.until[:16].replace('T', ' ')} UTC")


@hold.command(name="list")
@click.argument("subject", metavar="[SUBJECT]", required=False, default="")
@on_workspace
def list_holds(workspace: Workspace, subject: str) -> None:
    """List the holds in force, or those on SUBJECT alone."""
    found = read_holds(mlflow_uri(workspace))
    wanted = str(HeldSubject.parse(subject)) if subject else ""
    emit([one for one in found if wanted in ("", one.subject)], _table)


@hold.command(name="end")
@click.argument("number", type=click.IntRange(min=1))
@_reason
@_by
@on_workspace
def end_verb(workspace: Workspace, number: int, **why: Any) -> None:
    """End hold NUMBER before its date."""
    body = {"hold": number, "reason": why["reason"], "by": why["by"] or current_user()}
    ended = Hold(**call_server(mlflow_uri(workspace), "POST", "/end-hold", json=body))
    emit(ended, lambda done: f"hold {done.number} on {done.subject} is over")


def _table(found: list[Hold]) -> str:
    rows = [(one.number, _shown(one.subject), one.until[:16].replace("T", " "), one.by, one.reason) for one in found]
    empty = "nothing is held; hold something with: elp hold SITE/TASK --until DATE --reason TEXT"
    return table(("hold", "subject", "until (UTC)", "by", "reason"), rows, empty)


def _shown(subject: str) -> str:
    # the first digits of a digest are enough for a reader
    return subject[:28] if subject.startswith("speaker:") else subject
