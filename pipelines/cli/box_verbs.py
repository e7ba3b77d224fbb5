"""`elp box`: what a box runs, its reports, and who is a box; the way back to the set before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.options import json_option, on_workspace
from pipelines.cli.output import emit, fields, mark, table
from pipelines.cli.pull_verbs import box_option
from pipelines.local.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.distribution.report_back import Collected


@click.group()
def box() -> None:
    """Show what boxes run, enrol and revoke them, and go back to the set before."""


@box.command(name="invite", short_help="Make a one-time token for a new box.")
@click.argument("name")
@click.argument("site")
@on_workspace
def invite_box_verb(workspace: Workspace, name: str, site: str) -> None:
    """Make a one-time token with which a machine at SITE becomes the box NAME.

    It works once within 24 hours, and is shown once. On a server with a login only administrators may invite.
    """
    from pipelines.local.box_invitation import invite_box_from

    address, token, until, root = invite_box_from(workspace, name, site)
    command = f"elp box enrol {address} --token {token}" + (f" --root {root}" if root else "")
    shown = {"name": name, "site": site, "address": address, "token": token, "until": until, "root": root}
    emit(shown, lambda _: f"on the box {name}, before {until[:16].replace('T', ' ')} UTC:\n  {command}")


@box.command(name="enrol", short_help="Make this machine a box.")
@click.argument("address")
@click.option("--token", required=True, envvar="ELP_BOX_TOKEN", help="From elp box invite, or ELP_BOX_TOKEN.")
@click.option("--root", default="", metavar="sha256:HEX", help="Digest of the first root, from elp box invite.")
@box_option
@json_option
def enrol_box_verb(address: str, token: str, root: str, box: Path | None) -> None:
    """Make this machine a box of the MLflow server at ADDRESS, with a key for its reports and a token for its pulls."""
    from pipelines.distribution.report_back import enrol_box_here
    from pipelines.local.box_home import box_home

    home = box_home(box)
    made = enrol_box_here(home, address, token, root)
    shown = {"name": made.name, "site": made.site, "box": home, "source": made.source}
    emit(shown, lambda _: f"this machine is the box {made.name} of {made.site}\nnext: elp pull {made.site}")


@box.command(name="key", short_help="Name a box without a network.")
@click.argument("name")
@click.argument("site")
@click.option("--to", "folder", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="The medium.")
@box_option
@json_option
def box_key_verb(name: str, site: str, folder: Path, box: Path | None) -> None:
    """Name this box, and write its public key onto a medium. On the control host: elp box add NAME SITE --key FILE."""
    from pipelines.distribution.report_back import name_box_here
    from pipelines.local.box_home import box_home

    place = name_box_here(box_home(box), name, site, folder)
    emit({"name": name, "key": place}, lambda _: f"on the control host: elp box add {name} {site} --key {place}")


@box.command(name="add", short_help="Add a box without a network by its public key.")
@click.argument("name")
@click.argument("site")
@click.option("--key", required=True, type=click.Path(path_type=Path), help="From elp box key.")
@on_workspace
def add_box_verb(workspace: Workspace, name: str, site: str, key: Path) -> None:
    """Know the box NAME at SITE by its public key, so that its reports count."""
    from pipelines.local.box_invitation import invite_box_from
    from pipelines.registry.client.boxes import enrol_box_key

    address, token, _, _ = invite_box_from(workspace, name, site)
    answer = enrol_box_key(address, token, key.read_text(encoding="utf-8"))
    emit({"name": answer["name"], "site": answer["site"]}, lambda row: f"{row['name']} is a box of {row['site']}")


@box.command(name="list", short_help="List the boxes and what they run.")
@on_workspace
def list_boxes_verb(workspace: Workspace) -> None:
    """List the boxes with what they reported last."""
    from pipelines.local.addresses import mlflow_uri
    from pipelines.registry.client.boxes import list_boxes

    emit(list_boxes(mlflow_uri(workspace)), _listing_of_boxes)


@box.command(name="revoke", short_help="End a box: its token and its reports.")
@click.argument("name")
@on_workspace
def revoke_box_verb(workspace: Workspace, name: str) -> None:
    """End the box NAME: it reads nothing more from the server, and its reports count no more.

    What it has it keeps: a set is revoked by a new set, not by this.
    """
    from pipelines.local.box_invitation import revoke_box_from

    emit(revoke_box_from(workspace, name), lambda row: f"{row['name']} is {row['state']}")


@box.command(name="report", short_help="Say what this box runs.")
@click.option("--to", "folder", type=click.Path(path_type=Path), metavar="FOLDER", help="A medium, not the server.")
@box_option
@json_option
def report_verb(folder: Path | None, box: Path | None) -> None:
    """Send what this box runs to its server, or write it to a medium, signed. Every pull does that, too."""
    from pipelines.distribution.report_back import report_back
    from pipelines.local.box_home import box_home

    place = report_back(box_home(box), folder)
    emit({"to": place}, lambda _: f"reported to {place}")


@box.command(name="collect", short_help="Send the reports on a medium to the server.")
@click.option("--from", "folder", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="The medium.")
@on_workspace
def collect_verb(workspace: Workspace, folder: Path) -> int:
    """Send the reports that boxes wrote onto a medium to the server."""
    from pipelines.distribution.report_back import collect_reports
    from pipelines.local.addresses import mlflow_uri

    found = collect_reports(folder, mlflow_uri(workspace))
    emit(found, _collected)
    return int(any(one.fault for one in found))


@box.command(name="show", short_help="Show what this box runs.")
@box_option
@json_option
def show_box_verb(box: Path | None) -> None:
    """Show the active set, with every byte of its bundles verified, and how the last pull ended."""
    from pipelines.local.box_home import active_set, box_home, last_pull, read_box

    home = box_home(box)
    settings, present, pulled = read_box(home), active_set(home), last_pull(home)
    if present is not None:
        present.verify()
    adapters = present.site_set.adapters if present else ()
    shown = {"site": settings.site, "source": settings.source, "box": home, "adapters": adapters, "pulled": pulled}
    emit(shown, _text)


@box.command(name="rollback", short_help="Put the set before in force again.")
@box_option
@json_option
def rollback_box_verb(box: Path | None) -> None:
    """Put the set before the active one in force again; the next pull brings the newest one."""
    from pipelines.distribution.pull_set import roll_back_set
    from pipelines.local.box_home import box_home

    found = roll_back_set(box_home(box))
    names = ", ".join(one.name for one in found.site_set.adapters)
    emit(found.site_set, lambda _: f"{found.site_set.site} serves {names} again")


def _collected(found: Sequence[Collected]) -> str:
    return "\n".join(f"{one.box}: {one.fault or 'taken'}" for one in found) or "no report is on this medium"


def _listing_of_boxes(found: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            row["name"],
            row["site"],
            mark(row["state"]),
            ", ".join(f"{one['slot'].partition('/')[2]} v{one['version']}" for one in row["report"].get("running", ())),
            row["report"].get("pulled", ""),
            row["report_at"][:16].replace("T", " "),
        )
        for row in found
    ]
    return table(
        ("box", "site", "state", "runs", "last pull", "reported"), rows, "no box yet: elp box invite NAME SITE"
    )


def _text(shown: dict[str, Any]) -> str:
    pulled = shown["pulled"]
    ended = f"{pulled.outcome} at {pulled.at[:16].replace('T', ' ')} UTC" if pulled else "never"
    head = fields([("site", shown["site"]), ("source", shown["source"]), ("last pull", ended)])
    if pulled and pulled.detail:
        head += f"\n{pulled.detail}"
    rows = [
        (one.slot, f"v{one.version}", one.bundle[7:19], "" if one.verdict else "override") for one in shown["adapters"]
    ]
    return f"{head}\n\n{table(('slot', 'version', 'bundle', 'note'), rows, 'no adapter is active')}"
