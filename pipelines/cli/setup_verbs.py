"""`elp init | up | down | status | doctor | demo`: a workspace, its servers, and a look at both."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import json_option, on_workspace
from pipelines.cli.output import emit, mark, progress, seconds, table, wants_json
from pipelines.local.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.demo.job import Demonstration
    from pipelines.local.doctor import Finding
    from pipelines.local.service_status import ServiceStatus


@click.command()
@click.argument("folder", type=click.Path(), metavar="DIR")
@click.option("--remote", default=".elp/remote", metavar="URL", help="DVC remote: a folder or a URL [default: inside].")
@json_option
def init(folder: str, remote: str) -> None:
    """Make DIR a workspace: a Git and DVC repository with elp.yaml.

    \b
    elp init ~/foundry
    elp init ~/foundry --remote s3://speech/foundry
    """
    # an unset variable of the shell gives "", which would be the current folder
    if not folder:
        raise click.UsageError("DIR is empty; give a folder, or . for this one")
    from pipelines.local.initialise import init_workspace

    made = init_workspace(Path(folder).resolve(), remote)
    text = f"{made.root} is a workspace now\nnext: cd {shlex.quote(str(made.root))} && elp up"
    emit({"workspace": made.root, "remote": made.remote}, lambda _: text)


@click.command(name="up")
@click.option("--auth/--no-auth", default=None, help="Whether MLflow asks for a login [default: as before].")
@click.option("--free-ports", is_flag=True, help="Choose free ports if the configured ones are taken.")
@on_workspace
def up_verb(workspace: Workspace, auth: bool | None, free_ports: bool) -> int:
    """Start MLflow, Prefect and the workers, on this machine only.

    They keep running after this command; `elp down` stops them. What already runs is left alone.
    """
    from pipelines.local import lifecycle
    from pipelines.orchestration.deployments import register_deployments

    lifecycle.up(workspace, register_deployments, auth=auth, free_ports=free_ports, log=progress)
    return _show(workspace)


@click.command(name="down")
@on_workspace
def down_verb(workspace: Workspace) -> None:
    """Stop what `elp up` started in this workspace. Everything stored is kept."""
    from pipelines.local import lifecycle

    stopped = lifecycle.down(workspace, log=progress)
    emit([p.name for p in stopped], lambda names: "everything is down" if names else "nothing was running")


@click.command()
@on_workspace
def status(workspace: Workspace) -> int:
    """Show servers and workers: up or down, since when, and at which address. Exit code 1 if one is not up."""
    return _show(workspace)


def _show(workspace: Workspace) -> int:
    from pipelines.local.service_status import override_lines, service_status

    found = service_status(workspace)
    emit(found, _services)
    for line in override_lines(workspace, found[0]):
        progress(click.style(line, fg="red"))
    return 0 if all(service.state == "up" for service in found) else 1


def _services(found: list[ServiceStatus]) -> str:
    rows = [
        (s.name, mark(s.state), s.address, s.pid, None if s.uptime is None else seconds(s.uptime), s.detail)
        for s in found
    ]
    return table(("service", "state", "address", "pid", "up for", ""), rows)


@click.command()
@on_workspace
def doctor(workspace: Workspace) -> int:
    """Check Python, packages, Git, DVC, keys, disk, clock, GPU, backbone, servers, workers. Exits 1 on a failure."""
    from pipelines.datasets.remote_finding import examine_remote
    from pipelines.local.doctor import examine
    from pipelines.orchestration.alerts.channel_status import examine_alerts

    found = []
    for check in examine(workspace, {"dvc remote": examine_remote, "alerts": examine_alerts}):
        found.append(check)
        if not wants_json():
            click.echo(_finding(check))
    if wants_json():
        emit(found, str)
    return int(any(check.outcome == "fail" for check in found))


def _finding(check: Finding) -> str:
    first = f"{mark(check.outcome)}{' ' * (5 - len(check.outcome))} {check.name.ljust(11)} {check.detail}"
    return first + (f"\n{' ' * 18}→ {check.remedy}" if check.remedy else "")


@click.command()
@click.option(
    "--folder", envvar="ELP_DEMO", type=click.Path(path_type=Path), help="Workspace of the demo [default: ELP_DEMO]."
)
@click.option("--down", "stop", is_flag=True, help="Stop the servers of the demo instead; its workspace stays.")
@json_option
def demo(folder: Path | None, stop: bool) -> None:
    """Run the main job on an embedded synthetic corpus of two sites.

    It takes some minutes on two cores. The servers keep running after it, so that you can look at their pages. A second
    run does only what is not done yet.
    """
    from pipelines.demo.job import run_demo, stop_demo

    # without a folder, all checkouts of a user share one demo
    root = folder or Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "elp-foundry" / "demo"
    root = root.expanduser().resolve()
    if stop:
        stop_demo(root, progress)
        return
    emit(run_demo(root, progress), _demonstrated)


def _demonstrated(done: Demonstration) -> str:
    cells = [row.cells() for row in done.rows]
    return f"""
{table(list(cells[0]), [[*map(mark, row.values())] for row in cells])}

All audio is synthetic (espeak-ng). "before" is an untrained adapter. Half of the transcripts of the delivery "swapped"
are exchanged; the adapter that is trained on it must not pass.

adapters and lineage  {done.mlflow}
champions and ledger  {done.mlflow}/elp/
flows and schedules   {done.prefect}
workspace             {done.workspace}
done in {done.minutes:.1f} minutes; stop the servers with: elp demo --down"""
