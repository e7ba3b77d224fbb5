"""`elp up`, `elp down`, `elp status`."""

from __future__ import annotations

import click

from pipelines.cli.options import json_option, workspace_option
from pipelines.cli.output import emit, mark, progress, seconds, table
from pipelines.local.service_status import ServiceStatus, overrides
from pipelines.local.service_status import status as read_status
from pipelines.local.workspace import Workspace


@click.command()
@click.option(
    "--auth/--no-auth",
    default=None,
    help="MLflow asks for a login, or not [default: as last time, at first not].",
)
@click.option("--free-ports", is_flag=True, help="Choose free ports where the configured ones are taken.")
@json_option
@workspace_option
def up(workspace: Workspace, auth: bool | None, free_ports: bool, as_json: bool) -> int:
    """Start MLflow, Prefect and the workers, on this machine only.

    They go on after this command has ended; `elp down` stops them. What already runs is left alone.
    """
    from pipelines.local import accounts
    from pipelines.local.lifecycle import up as start_all
    from pipelines.orchestration.deployments import register

    own = not workspace.settings.servers.mlflow_uri
    admin = accounts.create(workspace) if auth and own else None
    if admin is not None:
        progress(f"first administrator: {admin.name}, password: {admin.password} (shown once; kept in .elp/auth/)")
    start_all(workspace, register, auth=auth, free_ports=free_ports, log=progress)
    return _show(workspace, as_json)


@click.command()
@json_option
@workspace_option
def down(workspace: Workspace, as_json: bool) -> None:
    """Stop what `elp up` started in this workspace; nothing stored is lost."""
    from pipelines.local.lifecycle import down as stop_all

    stopped = stop_all(workspace, log=progress)
    emit([p.name for p in stopped], as_json, lambda names: "everything is down" if names else "nothing was running")


@click.command()
@json_option
@workspace_option
def status(workspace: Workspace, as_json: bool) -> int:
    """Show servers and workers: up or down, since when, and where. Exit code 1 where something is not up."""
    return _show(workspace, as_json)


def _show(workspace: Workspace, as_json: bool) -> int:
    found = read_status(workspace)
    emit(found, as_json, _render)
    for line in overrides(workspace, found[0]):
        progress(click.style(line, fg="red"))
    return 0 if all(service.state == "up" for service in found) else 1


def _render(found: list[ServiceStatus]) -> str:
    rows = [
        (s.name, mark(s.state), s.address, s.pid, None if s.uptime is None else seconds(s.uptime), s.detail)
        for s in found
    ]
    return table(("service", "state", "address", "pid", "up for", ""), rows)
