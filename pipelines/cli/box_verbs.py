"""`elp box`: what a box runs, and the way back to the set before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipelines.cli.options import json_option
from pipelines.cli.output import emit, fields, table
from pipelines.cli.pull_verbs import box_option


@click.group()
def box() -> None:
    """Show what this box runs, and go back to the set before."""


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
