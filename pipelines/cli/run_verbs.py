"""`elp runs`, `elp logs`, `elp cancel`: the flow runs of a workspace."""

import getpass
from collections.abc import Sequence
from itertools import islice

import click

from elp_core.errors import OpsError
from pipelines.cli.options import SLOT, on_workspace
from pipelines.cli.output import emit, mark, table, wants_json
from pipelines.cli.progress_bar import long_work
from pipelines.local.workspace import Workspace
from pipelines.number_text import duration
from pipelines.orchestration.deployments import FLOWS
from pipelines.orchestration.follow import follow
from pipelines.orchestration.prefect_api import FollowedRun, connect_prefect
from pipelines.orchestration.workspace_runs import SHORT, LogLine, cancel_run, find_run, run_log, workspace_runs
from pipelines.registry.slot import Slot

_run = click.argument("run", metavar="RUN")


@click.command(name="runs")
@click.argument("slot", type=SLOT, metavar="[SITE/TASK]", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, the newest first.")
@on_workspace
def runs_verb(workspace: Workspace, slot: Slot | None, limit: int) -> None:
    """List the runs of a slot, or of all slots, the newest first."""
    with connect_prefect(workspace) as client:
        found = list(islice(workspace_runs(client, workspace, slot), limit))
    empty = f"no run{f' of {slot}' if slot else ''} yet; start one with: elp retrain {slot or 'SITE/TASK'}"
    emit(found, lambda _: _listing(found, empty))


@click.command(name="logs")
@_run
@click.option("-f", "--follow", "wait", is_flag=True, help="Continue until the run ends; Ctrl-C stops following only.")
@on_workspace
def logs_verb(workspace: Workspace, run: str, wait: bool) -> None:
    """Print the log of a run, or follow it.

    RUN is the beginning of its id, as `elp runs` shows it, or its name: then the newest run of that name.

    \b
    elp logs 3f9a
    elp logs "retrain plant-a/asr" --follow
    """
    if wait and wants_json():
        raise click.UsageError("--follow prints lines as they come, and --json one document; leave out one of both")
    with connect_prefect(workspace) as client:
        found = find_run(client, workspace, run)
        if not wait:
            emit(run_log(client, found), _lines)
            return
        # the lines are the result here, so they go to stdout
        with long_work(log=click.echo) as display:
            follow(client, found, FLOWS.get(found.name.split()[0], "elp-gpu"), display.log, show=display.show)


@click.command(name="cancel")
@_run
@click.option("--reason", default="", metavar="TEXT", help="The reason, for the record.")
@on_workspace
def cancel_verb(workspace: Workspace, run: str, reason: str) -> None:
    """Cancel a run, and the runs that it started. RUN is the beginning of its id, or its name.

    What a finished step made stays; a training that is started again continues from its checkpoint.
    """
    with connect_prefect(workspace) as client:
        found = find_run(client, workspace, run)
        by = f"cancelled by {getpass.getuser()}" + (f": {reason}" if reason else "")
        done = cancel_run(client, found, by)
    emit(done, lambda _: "\n".join(f"{one.name} ({one.id[:SHORT]}): {mark(one.state)}" for one in done))
    if late := [one for one in done if one.state_type != "CANCELLED"]:
        raise OpsError(f"{late[0].name} ended as {late[0].state} before it could be cancelled")


def _listing(found: Sequence[FollowedRun], empty: str) -> str:
    rows = [
        (
            run.id[:SHORT],
            run.name,
            mark(run.state),
            run.started[:16].replace("T", " "),
            duration(run.seconds) if run.seconds else None,
            # of a run that waits, too: for what
            _first_line(run.message) if run.ended or run.state == "AwaitingRetry" else "",
        )
        for run in found
    ]
    return table(("run", "name", "state", "started (UTC)", "took", ""), rows, empty)


def _first_line(message: str) -> str:
    text = message.removeprefix("Flow run encountered an exception: ").split("\n")[0]
    return text if len(text) <= 100 else f"{text[:99]}…"


def _lines(lines: Sequence[LogLine]) -> str:
    return (
        "\n".join(
            f"{line.at[11:19]}  {line.text if line.level == 'info' else f'{line.level}: {line.text}'}" for line in lines
        )
        or "no lines yet"
    )
