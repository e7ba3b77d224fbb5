"""`elp schedule list | apply | add | pause | resume | remove`."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from pipelines.cli.options import SLOT, on_workspace
from pipelines.cli.output import emit, mark, progress, table, wants_json
from pipelines.cli.progress_bar import long_work
from pipelines.errors import UsageError
from pipelines.inbox.slot_inbox import missing_inbox
from pipelines.local.addresses import prefect_api
from pipelines.local.schedule_settings import SCHEDULED_FLOWS, ScheduleEntry
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.orchestration import schedules
from pipelines.orchestration.prefect_api import connect_prefect
from pipelines.orchestration.schedule_apply import (
    ScheduleChange,
    ScheduleDiff,
    apply_schedules,
    plan_apply,
    read_applied,
    write_applied,
)
from pipelines.orchestration.schedule_list import Schedule, read_schedules
from pipelines.orchestration.slot_deployments import ALL, rest_errors, server_now
from pipelines.registry.plain_json import plain

_SHOWN = 10
"""Changes that are listed one by one."""


def _read_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    return value if value == ALL else str(SLOT.convert(value, param, ctx))


_name = click.argument("name", callback=_read_name, metavar="SITE/TASK|all")
_flow = click.option(
    "--flow", type=click.Choice(SCHEDULED_FLOWS), default="retrain", help="What the schedule starts [default: retrain]."
)


@click.group()
def schedule() -> None:
    """Retrain or monitor slots at fixed times. Prefect keeps the schedules, and a worker starts the runs."""


@schedule.command(name="list", short_help="List schedules, runs and missed starts.")
@on_workspace
def list_schedules(workspace: Workspace) -> None:
    """List the schedules: next and last run, last verdict, and the starts of the last 30 days that were missed."""
    _show(workspace)


@schedule.command(name="apply", short_help="Make the schedules those of elp.yaml.")
@click.option("--yes", is_flag=True, help="Apply without asking.")
@on_workspace
def apply_verb(workspace: Workspace, yes: bool) -> None:
    """Make the schedules in Prefect those under `schedules:` of elp.yaml; show the difference and ask first.

    Schedules that a person made are kept, and paused ones stay paused. Slots that match and get their first data later
    are scheduled by the supervision of `elp up`. --json without --yes prints the difference and changes nothing.
    """
    entries, api = workspace.settings.schedule_entries(), prefect_api(workspace)
    with rest_errors(api):
        diff = plan_apply(workspace, api, entries, server_now(api))
        applied = yes or (diff.nothing and not wants_json())
        if not wants_json():
            click.echo(_difference(diff, entries))
            applied = applied or _agreed()
        if applied:
            # first: if this is interrupted, the supervision finishes it
            write_applied(workspace)
            with long_work(quiet=wants_json()) as display:
                report = display.counting("apply", "schedules")
                apply_schedules(workspace, api, entries, server_now(api), lambda done, of: report(done, of, ""))
    if wants_json():
        emit({"applied": applied, "counts": diff.counts, **plain(diff)}, str)
    else:
        click.echo("applied" if applied else "nothing was changed")


@schedule.command(name="add", short_help="Make a schedule, or change the present one.")
@_name
@_flow
@click.option("--cron", metavar="EXPR", required=True, help="'0 3 * * *': minute, hour, day, month, weekday.")
@click.option("--timezone", default="UTC", metavar="ZONE", help="Time zone of --cron [default: UTC].")
@on_workspace
def add_schedule(workspace: Workspace, **timing: str) -> None:
    """Make the schedule of a slot (or of all slots), or change it.

    \b
    elp schedule add plant-a/asr --cron "0 3 * * *" --timezone Europe/Berlin
    elp schedule add plant-a/asr --flow monitor --cron "0 6 * * *"
    """
    _apply(workspace, schedules.set_schedule, **timing)


def _add_verb(verb: str, sentence: str, change: Callable[..., None], **arguments: bool) -> None:
    @schedule.command(name=verb, help=sentence)
    @_name
    @_flow
    @on_workspace
    def change_schedule(workspace: Workspace, name: str, flow: str) -> None:
        _apply(workspace, change, name=name, flow=flow, **arguments)


_add_verb("pause", "Start no more runs until the schedule is resumed.", schedules.set_active, active=False)
_add_verb("resume", "Start runs again.", schedules.set_active, active=True)
_add_verb("remove", "Delete the schedule.", schedules.remove_schedule)


def _apply(workspace: Workspace, change: Callable[..., None], **arguments: Any) -> None:
    """Make a change, and print the schedules as they are after it."""
    with connect_prefect(workspace) as client:
        change(client, workspace, **arguments)
    _show(workspace)


def _show(workspace: Workspace) -> None:
    api = prefect_api(workspace)
    entries = read_applied(workspace)
    with rest_errors(api):
        found = read_schedules(workspace, api, entries or ())
    emit(found, _table)
    if entries and not wants_json() and (fault := missing_inbox(workspace)):
        progress(_unread_text(fault))
    if (
        not wants_json()
        and entries != workspace.settings.schedule_entries()
        and (entries or workspace.settings.schedules)
    ):
        progress("elp.yaml has other schedules than those that were applied last; apply them with: elp schedule apply")


def _unread_text(fault: str) -> str:
    return f"the schedules stay, and no slot that has only an inbox gets one: {fault}"


def _agreed() -> bool:
    if sys.stdin and sys.stdin.isatty():
        return click.confirm("Apply?", err=True)
    raise UsageError("nothing was changed; apply the difference with: elp schedule apply --yes")


def _table(found: list[Schedule]) -> str:
    rows = [
        (
            s.name,
            s.flow,
            s.entry or "(a person)",
            s.cron,
            s.timezone,
            mark("ready" if s.active else "paused"),
            _minute(s.next_run),
            _minute(s.last_run),
            mark(s.last_state),
            mark(s.verdict),
            f"{s.missed} since {_minute(s.missed_since)}" if s.missed else "",
        )
        for s in found
    ]
    empty = (
        "no schedules; make one with: elp schedule add SITE/TASK --cron '0 3 * * *', or write schedules: into elp.yaml"
    )
    heads = (
        "slot",
        "starts",
        "entry",
        "cron",
        "time zone",
        "state",
        "next run (UTC)",
        "last run",
        "ended as",
        "verdict",
        "missed",
    )
    return table(heads, rows, empty)


def _difference(diff: ScheduleDiff, entries: Sequence[ScheduleEntry]) -> str:
    """Return the difference on one screen, however many slots there are."""
    rows = []
    names = [*(entry.name for entry in entries), *sorted({c.entry for c in diff.changes} - {e.name for e in entries})]
    for name in [name for name in names if name]:
        changes = [change for change in diff.changes if change.entry == name]
        kinds = [
            sum(change.kind == kind for change in changes) for kind in ("added", "changed", "removed", "unchanged")
        ]
        starts = sorted(change.next_start for change in changes if change.next_start)
        rows.append((name, *kinds, sum(c.paused for c in changes), _minute(starts[0]) if starts else ""))
    heads = ("entry", "added", "changed", "removed", "unchanged", "paused", "first start (UTC)")
    lines = [table(heads, rows, "elp.yaml has no schedules")]
    work = [change for change in diff.changes if change.kind in ("added", "changed", "removed")]
    lines += [f"  {_change_text(change)}" for change in work[:_SHOWN]]
    if len(work) > _SHOWN:
        lines.append(f"  and {len(work) - _SHOWN} more; all of them with: elp schedule apply --json")
    kept = [change for change in diff.changes if change.kind == "kept"]
    if kept:
        some = ", ".join(f"{change.slot} ({change.timing})" for change in kept[:3])
        lines.append(f"{count(len(kept), 'schedule')} that a person made stay: {some}{' …' if len(kept) > 3 else ''}")
    lines += [
        f"{name} matches no slot with data yet; its slots are scheduled when they get data" for name in diff.empty
    ]
    if diff.unread:
        lines.append(_unread_text(diff.unread))
    if diff.never:
        lines.append(f"no start within nine years, each would be on a day without starts: {', '.join(diff.never[:5])}")
    totals = ", ".join(f"{number} {kind}" for kind, number in diff.counts.items())
    return "\n".join([*lines, totals])


def _change_text(change: ScheduleChange) -> str:
    of = f"{change.entry}, before {change.was}" if change.was else change.entry
    following = f", next start {_minute(change.next_start)}" if change.next_start else ""
    return f"{change.kind:<8} {change.slot} ({of}){following}{', paused' if change.paused else ''}"


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")
