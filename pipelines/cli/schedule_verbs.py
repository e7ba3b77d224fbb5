"""`elp schedule list | add | pause | resume | remove`."""

from collections.abc import Callable
from typing import Any

import click

from pipelines.cli.options import SLOT, on_workspace
from pipelines.cli.output import emit, mark, table
from pipelines.local.workspace import Workspace
from pipelines.orchestration import schedules
from pipelines.orchestration.prefect_api import connect_prefect


def _read_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    return value if value == schedules.ALL else str(SLOT.convert(value, param, ctx))


_name = click.argument("name", callback=_read_name, metavar="SITE/TASK|all")


@click.group()
def schedule() -> None:
    """Retrain a slot, or all slots, at fixed times. Prefect keeps the schedules, and a worker starts the runs."""


@schedule.command(name="list")
@on_workspace
def list_schedules(workspace: Workspace) -> None:
    """List the schedules and their next runs."""
    _apply(workspace, lambda client, workspace: None)


@schedule.command(name="add", short_help="Make a schedule, or change the present one.")
@_name
@click.option("--cron", metavar="EXPR", required=True, help="'0 3 * * *': minute, hour, day, month, weekday.")
@click.option("--timezone", default="UTC", metavar="ZONE", help="Time zone of --cron [default: UTC].")
@on_workspace
def add_schedule(workspace: Workspace, **timing: str) -> None:
    """Make the schedule of a slot (or of all slots), or change it.

    \b
    elp schedule add plant-a/asr --cron "0 3 * * *" --timezone Europe/Berlin
    """
    _apply(workspace, schedules.set_schedule, **timing)


def _add_verb(verb: str, sentence: str, change: Callable[..., None], **arguments: bool) -> None:
    @schedule.command(name=verb, help=sentence)
    @_name
    @on_workspace
    def change_schedule(workspace: Workspace, name: str) -> None:
        _apply(workspace, change, name=name, **arguments)


_add_verb("pause", "Start no more runs until the schedule is resumed.", schedules.set_active, active=False)
_add_verb("resume", "Start runs again.", schedules.set_active, active=True)
_add_verb("remove", "Delete the schedule.", schedules.remove_schedule)


def _apply(workspace: Workspace, change: Callable[..., None], **arguments: Any) -> None:
    """Make a change, and print the schedules as they are after it."""
    with connect_prefect(workspace) as client:
        change(client, workspace, **arguments)
        emit(schedules.read_schedules(client, workspace), _table)


def _table(found: list[schedules.Schedule]) -> str:
    rows = [
        (s.name, s.cron, s.timezone, mark("ready" if s.active else "paused"), s.next_run[:16].replace("T", " "))
        for s in found
    ]
    empty = "no schedules; make one with: elp schedule add SITE/TASK --cron '0 3 * * *'"
    return table(("slot", "cron", "time zone", "state", "next run (UTC)"), rows, empty)
