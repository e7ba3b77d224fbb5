"""`elp init`: make a workspace."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from pipelines.cli.options import json_option
from pipelines.cli.output import emit


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--remote", default=".elp/remote", metavar="URL", help="DVC remote: a folder or a URL [default: inside].")
@json_option
def init(folder: Path, remote: str, as_json: bool) -> None:
    """Make DIR a workspace: a Git and DVC repository with elp.yaml.

    \b
    elp init ~/foundry
    elp init ~/foundry --remote s3://speech/foundry
    """
    if not folder.parts:
        raise click.UsageError("DIR is empty; give a folder, or . for this one")
    from pipelines.local.initialise import init_workspace

    workspace = init_workspace(folder.resolve(), remote)
    emit(
        {"workspace": workspace.root, "remote": workspace.remote},
        as_json,
        lambda made: (
            f"{made['workspace']} is a workspace now\nnext: cd {shlex.quote(str(made['workspace']))} && elp up"
        ),
    )
