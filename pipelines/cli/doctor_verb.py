"""`elp doctor`: everything the work needs, with remedies."""

from __future__ import annotations

import click

from pipelines.cli.options import json_option, workspace_option
from pipelines.cli.output import emit, mark
from pipelines.local.doctor import Check, examine
from pipelines.local.workspace import Workspace


@click.command()
@json_option
@workspace_option
def doctor(workspace: Workspace, as_json: bool) -> int:
    """Check Python, packages, Git, DVC, keys, disk, clock, GPU, backbone, servers, workers. Exits 1 on a failure."""
    found = []
    for check in examine(workspace):
        found.append(check)
        if not as_json:
            click.echo(_line(check))
    if as_json:
        emit(found, True, str)
    return int(any(check.outcome == "fail" for check in found))


def _line(check: Check) -> str:
    first = f"{mark(check.outcome)}{' ' * (5 - len(check.outcome))} {check.name.ljust(11)} {check.detail}"
    return first + (f"\n{' ' * 18}→ {check.remedy}" if check.remedy else "")
