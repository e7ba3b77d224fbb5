"""`elp inbox list | retry`."""

from __future__ import annotations

import click

from pipelines.cli.options import SLOT, on_workspace, slot_argument
from pipelines.cli.output import emit, mark, table
from pipelines.inbox.inbox_status import InboxRow, inbox_rows
from pipelines.inbox.take_deliveries import retry_refused
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

_LONGEST = 100
"""Characters of a reason in the table; --json has all of it."""


@click.group()
def inbox() -> None:
    """Show what was dropped into the inboxes, and try refused deliveries again.

    A run of elp retrain or of a schedule takes in what is complete. The places are set with inbox: in elp.yaml.
    """


@inbox.command(name="list", short_help="List what waits, is incomplete, claimed, refused or taken in.")
@click.argument("slots", type=SLOT, metavar="[SITE/TASK...]", nargs=-1)
@click.option(
    "--taken", type=click.IntRange(min=0), default=10, help="Deliveries taken in, for each slot [default: 10]."
)
@on_workspace
def list_inbox(workspace: Workspace, slots: tuple[Slot, ...], taken: int) -> None:
    """List the deliveries in the inboxes of these slots, or of all slots.

    A delivery is incomplete until two looks at least `inbox.stable` seconds apart show the same listing, or until its
    marker or its list of digests says that it is complete. This command is such a look.
    """
    emit(inbox_rows(workspace, slots, taken), _table)


@inbox.command(name="retry", short_help="Try refused deliveries again as they are.")
@slot_argument
@click.argument("names", metavar="[NAME...]", nargs=-1)
@on_workspace
def retry_delivery(workspace: Workspace, slot: Slot, names: tuple[str, ...]) -> None:
    """Let the next run take in refused deliveries of a slot again; without a NAME, all of them.

    A refused delivery that was changed is tried again automatically.
    """
    emit(retry_refused(workspace, slot, names), lambda found: _retried(slot, found))


def _retried(slot: Slot, names: list[str]) -> str:
    if not names:
        return f"nothing was refused in the inbox of {slot}"
    return f"the next run of {slot} tries again: {', '.join(names)}; start it with: elp retrain {slot}"


def _table(rows: list[InboxRow]) -> str:
    shown = [
        (row.slot, row.name, mark(row.state), row.at[:16].replace("T", " "), _short(row.detail))
        for row in rows
    ]  # fmt: skip
    return table(("slot", "delivery", "state", "since (UTC)", "detail"), shown, "nothing is in the inboxes")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 2]} …"
