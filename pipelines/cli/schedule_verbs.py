"""`elp schedule list | add | pause | resume | remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.options import SLOT, json_option, workspace_option
from pipelines.cli.output import emit, mark, table
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


@click.group()
def schedule() -> None:
    """Retrain a slot, or all slots, at fixed times. Prefect keeps the schedules, and a worker starts the runs."""


@schedule.command(name="list")
@json_option
@workspace_option
def list_schedules(workspace: Workspace, as_json: bool) -> None:
    """List the schedules and their next runs."""
    with connect_prefect(workspace) as client:
        _show(client, workspace, as_json)


@schedule.command(short_help="Make a schedule, or change the present one.")
@_name
@click.option("--cron", metavar="EXPR", required=True, help="'0 3 * * *': minute, hour, day, month, weekday.")
@click.option("--timezone", default="UTC", metavar="ZONE", help="Time zone of --cron [default: UTC].")
@json_option
@workspace_option
def add(workspace: Workspace, name: str, cron: str, timezone: str, as_json: bool) -> None:
    """Make the schedule of a slot (or of all slots), or change it.

    \b
    elp schedule add plant-a/asr --cron "0 3 * * *" --timezone Europe/Berlin
    """
    with connect_prefect(workspace) as client:
        schedules.set_schedule(client, workspace, name, timezone, cron)
        _show(client, workspace, as_json)


@schedule.command()
@_name
@json_option
@workspace_option
def pause(workspace: Workspace, name: str, as_json: bool) -> None:
    """Start no more runs until the schedule is resumed."""
    with connect_prefect(workspace) as client:
        schedules.set_active(client, workspace, name, active=False)
        _show(client, workspace, as_json)


@schedule.command()
@_name
@json_option
@workspace_option
def resume(workspace: Workspace, name: str, as_json: bool) -> None:
    """Start runs again."""
    with connect_prefect(workspace) as client:
        schedules.set_active(client, workspace, name, active=True)
        _show(client, workspace, as_json)


@schedule.command()
@_name
@json_option
@workspace_option
def remove(workspace: Workspace, name: str, as_json: bool) -> None:
    """Delete the schedule."""
    with connect_prefect(workspace) as client:
        schedules.remove_schedule(client, workspace, name)
        _show(client, workspace, as_json)


def _show(client: SyncPrefectClient, workspace: Workspace, as_json: bool) -> None:
    emit(schedules.read_schedules(client, workspace), as_json, _render)


def _render(found: list[schedules.Schedule]) -> str:
    rows = [
        (s.name, s.cron, s.timezone, mark("ready") if s.active else mark("paused"), s.next_run[:16].replace("T", " "))
        for s in found
    ]
    empty = "no schedules; make one with: elp schedule add SITE/TASK --cron '0 3 * * *'"
    return table(("slot", "cron", "time zone", "state", "next run (UTC)"), rows, empty)
