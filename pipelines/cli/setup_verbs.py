"""`elp init | up | down | status | doctor | demo`: a workspace, its servers, and a look at both."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.known_slots import workspace_root
from pipelines.cli.options import json_option, on_workspace, opens
from pipelines.cli.output import emit, mark, progress, table, wants_json
from pipelines.cli.progress_bar import long_work
from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.number_text import count, duration

if TYPE_CHECKING:
    from pipelines.demo.job import Demonstration
    from pipelines.local.doctor import Finding
    from pipelines.local.service_status import ServiceStatus
    from pipelines.local.serving_status import ServingStatus

_SHOWN = 3
"""Names in one cell of the serving hosts."""


@click.command()
@click.argument("folder", type=click.Path(), metavar="DIR")
@click.option(
    "--profile",
    type=click.Choice(["laptop", "team"]),
    default="laptop",
    show_default=True,
    help="One machine, or shared databases and stores.",
)
@click.option("--remote", metavar="URL", help="DVC remote: a folder or a URL [default: inside].")
@click.option("--host", metavar="ADDRESS", help="Address at which the servers listen [default: 127.0.0.1].")
@click.option("--git", metavar="ADDRESS", help="Team: Git address of the workspace, as workers reach it.")
@click.option("--postgres", metavar="ADDRESS", help="Team: PostgreSQL server, with two databases: mlflow, prefect.")
@click.option("--artifacts", metavar="URL", help="Team: s3://BUCKET/PREFIX of MLflow [default: next to an S3 remote].")
@click.option("--s3-endpoint", metavar="URL", help="Team: address of an S3 store other than AWS.")
@json_option
def init(folder: str, profile: str, remote: str | None, host: str | None, **team: str | None) -> None:
    """Make DIR a workspace: a Git and DVC repository with elp.yaml.

    \b
    elp init ~/foundry
    elp init ~/foundry --remote s3://speech/foundry
    elp init . --host 0.0.0.0        in a container, whose ports are published on 127.0.0.1 only
    elp init /srv/foundry --profile team --git ssh://elp@control/srv/git/foundry.git \\
      --postgres postgresql://elp@db --remote s3://speech/foundry --s3-endpoint http://store:8333
    """
    # an unset variable of the shell gives "", which would be the current folder
    if not folder:
        raise click.UsageError("DIR is empty; give a folder, or . for this one")
    from pipelines.local import profiles
    from pipelines.local.initialise import init_workspace

    chosen = (profiles.team if profile == "team" else profiles.laptop)(remote, host, **team)
    made = init_workspace(Path(folder).resolve(), profile=chosen)
    lines = [f"{made.root} is a workspace now"]
    if chosen.secrets:
        lines.append("set in the environment, or in .elp/secrets.env, which is not in Git:")
        lines += [f"  {name}: {purpose}" for name, purpose in chosen.secrets.items()]
        lines.append(f"next: cd {shlex.quote(str(made.root))} && elp doctor && elp up")
    else:
        lines.append(f"next: cd {shlex.quote(str(made.root))} && elp up")
    content = {"workspace": made.root, "remote": made.remote}
    if chosen.secrets:
        content |= {"git": chosen.git, "secrets": list(chosen.secrets)}
    emit(content, lambda _: "\n".join(lines))


@click.command(name="up")
@click.option("--auth/--no-auth", default=None, help="Whether all pages ask for a login [default: as before].")
@click.option("--free-ports", is_flag=True, help="Choose free ports if the configured ones are taken.")
@click.option("--foreground", is_flag=True, help="Stay and show the logs; SIGTERM or Ctrl-C stops everything.")
@on_workspace
def up_verb(workspace: Workspace, auth: bool | None, free_ports: bool, foreground: bool) -> int:
    """Start MLflow, Prefect and the workers, on this machine only.

    They keep running after this command; `elp down` stops them. What already runs is left alone. With --foreground the
    command runs for as long as they do, as containers and systemd expect it.
    """
    from pipelines.local import lifecycle
    from pipelines.local.running_release import require_current_servers
    from pipelines.local.service_commands import POOLS, local_pools
    from pipelines.orchestration.deployments import refuse_shared_prefect, register_deployments

    def register(workspace: Workspace, api: str) -> None:
        refuse_shared_prefect(workspace, api)
        register_deployments(workspace, api)

    def start() -> int:
        require_current_servers(workspace)
        lifecycle.up(workspace, register, auth=auth, free_ports=free_ports, log=progress)
        elsewhere = set(POOLS) - set(local_pools(workspace))
        return _show(workspace, elsewhere)

    if not foreground:
        return start()
    from pipelines.local import accounts
    from pipelines.local.foreground import stay_up

    # made here, because `lifecycle.up` would print the password, and this output becomes the log of a container
    if auth and not workspace.settings.servers.mlflow_uri and (admin := accounts.create(workspace)):
        progress(f"first administrator: {admin.name}; the password is in .elp/auth/server.ini until it is changed")
    return stay_up(workspace, start, progress)


@click.command(name="down")
@click.option("--yes", is_flag=True, help="Stop without asking, even if runs are in progress.")
@on_workspace
def down_verb(workspace: Workspace, yes: bool) -> None:
    """Stop what `elp up` started in this workspace. Everything stored is kept.

    If runs are in progress, it asks first. They end as Crashed; started again, they continue at the step that they had
    reached.
    """
    from pipelines.local import lifecycle
    from pipelines.local.runs_in_progress import runs_in_progress

    if running := runs_in_progress(workspace):
        _agree_to_interrupt(running, yes)
    stopped = lifecycle.down(workspace, log=progress)
    emit([p.name for p in stopped], lambda names: "everything is down" if names else "nothing was running")


def _agree_to_interrupt(running: list[str], yes: bool) -> None:
    """Say which runs end, and ask if nobody has agreed yet; UsageError if nobody can be asked."""
    listed = f"{count(len(running), 'run')} in progress: {', '.join(running)}"
    if yes:
        progress(f"{listed}; stopped as Crashed, and continued at the step that was reached if started again")
    elif sys.stdin and sys.stdin.isatty():
        progress(
            f"{listed}\nStopped now, it ends as Crashed; started again, it continues at the step that was reached."
        )
        click.confirm("Stop now?", abort=True, err=True)
    else:
        raise UsageError(f"{listed}; wait until it has ended (elp runs), or stop it with: elp down --yes")


@click.command()
@on_workspace
def status(workspace: Workspace) -> int:
    """Show servers and workers: up or down, since when, and at which address. Exit code 1 if one is not up.

    Below them are the serving hosts that report here, on any machine: what each `elp serve` answers with, its last
    report, and which versions differ from the champions. They do not change the exit code.
    """
    return _show(workspace)


def _show(workspace: Workspace, elsewhere: Collection[str] = ()) -> int:
    """Print the state of the services; return 1 if one is not up, except those whose workers run `elsewhere`."""
    from concurrent.futures import ThreadPoolExecutor

    from pipelines.local.service_status import override_lines, service_status
    from pipelines.local.serving_status import serving_status

    found = service_status(workspace)
    with ThreadPoolExecutor(1) as thread:
        # at once: a server that hangs costs the patience for one answer
        asked = thread.submit(serving_status, workspace, found[0])
        overrides = override_lines(workspace, found[0])
        hosts = asked.result()
    listed: list[ServiceStatus | ServingStatus] = [*found, *hosts]
    emit(listed, _tables)
    for line in overrides:
        progress(click.style(line, fg="red"))
    return 0 if all(service.state == "up" or service.name in elsewhere for service in found) else 1


def _tables(found: list[ServiceStatus | ServingStatus]) -> str:
    hosts = [one for one in found if one.kind == "serving"]
    services = _services([one for one in found if one.kind == "service"])
    return f"{services}\n\n{_hosts(hosts)}" if hosts else services


def _services(found: list[ServiceStatus]) -> str:
    rows = [
        (s.name, mark(s.state), s.address, s.pid, None if s.uptime is None else duration(s.uptime), s.detail)
        for s in found
    ]
    return table(("service", "state", "address", "pid", "up for", ""), rows)


def _hosts(found: list[ServingStatus]) -> str:
    rows = [
        (
            one.name,
            mark(one.state),
            _some(one.sites) or "all",
            _some(one.versions),
            one.release,
            f"{one.seen[:16].replace('T', ' ')} UTC",
            "; ".join([*([f"champion: {_some(one.differs)}"] if one.differs else []), *one.problems]),
        )
        for one in found
    ]
    return table(("serving host", "state", "sites", "answers with", "elp", "last report", ""), rows)


def _some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _perhaps_workspace(start: Path | None) -> Workspace | None:
    return open_workspace(start) if start or workspace_root() else None


@click.command()
@opens("workspace", _perhaps_workspace)
def doctor(workspace: Workspace | None) -> int:
    """Check Python, packages, Git, DVC, keys, disk, clock, GPU, backbone, servers, workers. Exits 1 on a failure.

    Outside a workspace it checks what all of them need.
    """
    from pipelines.datasets.remote_finding import examine_remote
    from pipelines.local.doctor import examine, examine_machine
    from pipelines.local.service_status import examine_queues
    from pipelines.orchestration.alerts.channel_status import examine_alerts

    found = []
    more = {"dvc remote": examine_remote, "alerts": examine_alerts, "queues": examine_queues}
    for check in examine(workspace, more) if workspace else examine_machine(Path.cwd()):
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

    It takes about five minutes on two cores. The servers keep running after it, so that you can look at their pages. A
    second run does only what is not done yet.
    """
    from pipelines.demo.job import run_demo, stop_demo

    # without a folder, all checkouts of a user share one demo
    root = folder or Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "elp-foundry" / "demo"
    root = root.expanduser().resolve()
    if stop:
        stop_demo(root, progress)
        return
    with long_work() as display:
        done = run_demo(root, display.log, display.show)
    emit(done, _demonstrated)


def _demonstrated(done: Demonstration) -> str:
    cells = [row.cells() for row in done.rows]
    return f"""
{table(list(cells[0]), [[*map(mark, row.values())] for row in cells])}

All audio is synthetic (espeak-ng). "before" is an untrained adapter. The transcripts of the delivery "swapped" are
those of other clips; the adapter that is trained on it must not pass.

adapters and lineage  {done.mlflow}
champions and ledger  {done.mlflow}/elp/
flows and schedules   {done.prefect}
workspace             {done.workspace}
done in {done.minutes:.1f} minutes; stop the servers with: elp demo --down"""
