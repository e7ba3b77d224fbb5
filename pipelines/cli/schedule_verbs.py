"""`elp schedule list | add | pause | resume | remove`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.options import SLOT, reports
from pipelines.cli.output import mark, table
from pipelines.local.workspace import Workspace
from pipelines.orchestration import schedules
from pipelines.orchestration.prefect_api import connect_prefect

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


class _ScheduleName(click.ParamType[str]):
    """SITE/TASK, or the word `all`."""

    name = "SITE/TASK|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name as the schedules have it."""
        return schedules.ALL if value == schedules.ALL else str(SLOT.convert(value, param, ctx))


_name = click.argument("name", type=_ScheduleName(), metavar="SITE/TASK|all")


def _table(found: list[schedules.Schedule]) -> str:
    rows = [
        (s.name, s.cron, s.timezone, mark("ready" if s.active else "paused"), s.next_run[:16].replace("T", " "))
        for s in found
    ]
    empty = "no schedules; make one with: elp schedule add SITE/TASK --cron '0 3 * * *'"
    return table(("slot", "cron", "time zone", "state", "next run (UTC)"), rows, empty)


@click.group()
def schedule() -> None:
    """Retrain a slot, or all slots, at fixed times. Prefect keeps the schedules, and a worker starts the runs."""


@schedule.command(name="list")
@reports(_table)
def list_schedules(workspace: Workspace) -> list[schedules.Schedule]:
    """List the schedules and their next runs."""
    return _after(workspace, lambda client: None)


@schedule.command(name="add", short_help="Make a schedule, or change the present one.")
@_name
@click.option("--cron", metavar="EXPR", required=True, help="'0 3 * * *': minute, hour, day, month, weekday.")
@click.option("--timezone", default="UTC", metavar="ZONE", help="Time zone of --cron [default: UTC].")
@reports(_table)
def add_schedule(workspace: Workspace, name: str, cron: str, timezone: str) -> list[schedules.Schedule]:
    """Make the schedule of a slot (or of all slots), or change it.

    \b
    elp schedule add plant-a/asr --cron "0 3 * * *" --timezone Europe/Berlin
    """
    return _after(workspace, lambda client: schedules.set_schedule(client, workspace, name, timezone, cron))


@schedule.command(name="pause")
@_name
@reports(_table)
def pause_schedule(workspace: Workspace, name: str) -> list[schedules.Schedule]:
    """Start no more runs until the schedule is resumed."""
    return _after(workspace, lambda client: schedules.set_active(client, workspace, name, active=False))


@schedule.command(name="resume")
@_name
@reports(_table)
def resume_schedule(workspace: Workspace, name: str) -> list[schedules.Schedule]:
    """Start runs again."""
    return _after(workspace, lambda client: schedules.set_active(client, workspace, name, active=True))


@schedule.command(name="remove")
@_name
@reports(_table)
def delete_schedule(workspace: Workspace, name: str) -> list[schedules.Schedule]:
    """Delete the schedule."""
    return _after(workspace, lambda client: schedules.remove_schedule(client, workspace, name))


def _after(workspace: Workspace, change: Callable[[SyncPrefectClient], None]) -> list[schedules.Schedule]:
    """Make a change, and return the schedules as they are after it."""
    with connect_prefect(workspace) as client:
        change(client)
        return schedules.read_schedules(client, workspace)
