"""`elp schedule`: make, list, pause, resume and remove schedules."""

from __future__ import annotations

import click

from pipelines.cli.options import json_option, workspace_option
from pipelines.cli.output import emit, mark, table
from pipelines.errors import UsageError
from pipelines.local.addresses import prefect_api
from pipelines.local.workspace import Workspace
from pipelines.orchestration.schedules import (
    Schedule,
    read_schedules,
    remove_schedule,
    set_active,
    set_schedule,
)
from pipelines.registry.slot import Slot

ACTIONS = ("list", "pause", "resume", "remove")


@click.command()
@click.argument("words", nargs=-1, metavar="[list | pause | resume | remove] [SITE/TASK | all]")
@click.option("--cron", metavar="EXPR", help="When to retrain, such as '0 3 * * *' (minute hour day month weekday).")
@click.option("--timezone", default="UTC", metavar="ZONE", help="Time zone of --cron [default: UTC].")
@json_option
@workspace_option
def schedule(workspace: Workspace, words: tuple[str, ...], cron: str | None, timezone: str, as_json: bool) -> None:
    """Retrain a slot, or all, on a schedule that Prefect keeps and a worker fires.

    \b
    elp schedule SITE/TASK | all --cron "0 3 * * *" [--timezone Europe/Berlin]
    elp schedule list
    elp schedule pause | resume | remove SITE/TASK | all
    """
    action, name = _read(words, cron)
    api = prefect_api(workspace)
    if action == "set":
        set_schedule(api, workspace, name, {"cron": cron, "timezone": timezone})
    elif action == "remove":
        remove_schedule(api, workspace, name)
    elif action != "list":
        set_active(api, workspace, name, active=action == "resume")
    emit(read_schedules(api, workspace), as_json, _render)


def _read(words: tuple[str, ...], cron: str | None) -> tuple[str, str]:
    """The action (``set`` for a bare slot) and the name it is about.

    Raises:
        UsageError: where the words do not fit together.
    """
    action = words[0] if words and words[0] in ACTIONS else "set"
    names = words if action == "set" else words[1:]
    if (action == "list" and not names and not cron) or (not words and cron is None):
        return "list", ""
    if action != "set" and cron:
        raise UsageError(f"--cron does not go with {action}")
    if len(names) != 1 or action == "list":
        raise UsageError(
            "expected one slot, or all: elp schedule SITE/TASK --cron '0 3 * * *'; see: elp schedule --help"
        )
    name = names[0] if names[0] == "all" else str(Slot.parse(names[0]))
    if action == "set" and not cron:
        raise UsageError(f"say when {name} is retrained: elp schedule {name} --cron '0 3 * * *'")
    return action, name


def _render(found: list[Schedule]) -> str:
    rows = [
        (s.name, s.cron, s.timezone, mark("ready") if s.active else mark("paused"), s.next_run[:16].replace("T", " "))
        for s in found
    ]
    empty = "no schedules; make one with: elp schedule SITE/TASK --cron '0 3 * * *'"
    return table(("slot", "cron", "time zone", "state", "next run (UTC)"), rows, empty)
