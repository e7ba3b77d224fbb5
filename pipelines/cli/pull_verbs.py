"""`elp pull` and `elp export`: bring the champions of a site to a box, over HTTP or on a medium."""

from __future__ import annotations

import os
from pathlib import Path

import click

from elp_core.errors import ElpError
from pipelines.cli.box_hints import note_box
from pipelines.cli.options import json_option, on_workspace
from pipelines.cli.output import emit, progress
from pipelines.local.workspace import Workspace
from pipelines.number_text import count


def _note_named_box(ctx: click.Context, _: click.Parameter, given: Path | None) -> Path | None:
    from pipelines.local.box_home import box_home

    note_box(box_home(given), named=given is not None)
    return given


box_option = click.option(
    "--box",
    type=click.Path(path_type=Path),
    metavar="DIR",
    callback=_note_named_box,
    help="Folder of the box [default: ELP_BOX, or ~/.local/state/elp-box].",
)


@click.command()
@click.argument("site", required=False, default="")
@click.option("--from", "source", metavar="URL|FOLDER", help="MLflow server, or what elp export wrote [default: last].")
@click.option("--root", metavar="FILE|sha256:HEX", help="First root, from a person; needed once.")
@click.option(
    "--backbone",
    "backbones",
    multiple=True,
    metavar="ID|FOLDER",
    help="Backbone that this box serves with; may be repeated while its site changes [default: as last].",
)
@click.option("--accept-override", is_flag=True, help="Take a champion by override, which has no passed verdict.")
@box_option
@json_option
def pull_verb(
    site: str,
    source: str | None,
    root: str | None,
    backbones: tuple[str, ...],
    accept_override: bool,
    box: Path | None,
) -> None:
    """Bring this box to the champions of SITE, whole or not at all; the first pull needs SITE.

    Everything is verified from the offline root down before it counts. If the signed metadata have expired or anything
    is not to be trusted, the box keeps the set that it has, and this command fails. Options of a pull that fails are
    not remembered.
    """
    from pipelines.distribution.pull_box import pull_box
    from pipelines.local.box_home import box_home

    home = box_home(box)
    done = pull_box(
        home,
        site,
        source=source,
        root=root,
        backbones=backbones,
        accept_override=accept_override,
        environment=os.environ,
        log=progress,
    )
    names = ", ".join(one.name for one in done.adapters) or "no adapter"
    sentence = f"{done.site} serves {names} now" if done.changed else f"{done.site} is up to date: {names}"
    emit(done, lambda _: sentence)
    _name_voices(home)


def _name_voices(home: Path) -> None:
    """Say which enrolled voices of a box have no template for the adapter that it has now."""
    from pipelines.serving.voices.box_templates import box_templates

    try:
        found = box_templates(home).unrenewed()
    except ElpError as error:
        # the pull is done
        progress(str(error))
        return
    for slot, left in found.items():
        progress(
            f"{count(left, 'enrolled voice')} of {slot} cannot be compared with its present version; renew them: "
            f"elp enrol migrate {slot}"
        )


@click.command()
@click.argument("site")
@click.option("--to", "folder", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="The medium.")
@on_workspace
def export_verb(workspace: Workspace, site: str, folder: Path) -> None:
    """Write what boxes of SITE need onto a medium, for boxes without a network.

    On the box: elp pull SITE --from FOLDER. It takes the medium for 180 days.
    """
    from pipelines.distribution.export_set import export_set
    from pipelines.distribution.source_login import account_of
    from pipelines.distribution.sources import HttpSource
    from pipelines.local.addresses import mlflow_uri
    from pipelines.registry.delivery.site_set import site_of

    source = HttpSource(mlflow_uri(workspace), account=account_of(os.environ))
    done = export_set(site_of(site), source, folder.expanduser().resolve(), progress)
    names = ", ".join(one.name for one in done.adapters) or "no adapter"
    emit(done, lambda _: f"{done.folder} has {names} ({done.bytes:,} bytes); boxes take it until {done.until[:10]}")
