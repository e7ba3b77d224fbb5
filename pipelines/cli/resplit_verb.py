"""``elp data resplit``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipelines.cli.options import on_current_workspace, slot_argument
from pipelines.cli.output import emit, table
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.datasets.resplit import Resplit


@click.command(name="resplit", short_help="Divide the speakers among the splits again, under the present shares.")
@slot_argument
@click.option("--golden", is_flag=True, help="Divide the golden speakers, too: the new test split is a new golden set.")
@click.option("--dry-run", is_flag=True, help="Show the splits before and after, and change nothing.")
@on_current_workspace
def resplit_data(workspace: Workspace, slot: Slot, golden: bool, dry_run: bool) -> None:
    """Divide the speakers of SITE/TASK again, under test_share and validation_share of elp.yaml: a new version.

    Each speaker is in one split, and a split that would be empty is filled if there are enough speakers. The golden set
    stays, and its speakers with it in the test split, unless --golden is given. Later deliveries keep the new splits.

    \b
    elp data resplit plant-a/asr --dry-run
    elp data resplit plant-a/asr --golden
    """
    from pipelines.datasets.resplit import resplit_slot

    emit(resplit_slot(workspace, slot, golden=golden, dry_run=dry_run), lambda done: _divided(done, dry_run))


def _divided(done: Resplit, dry_run: bool) -> str:
    from pipelines.datasets.readiness import needs_text

    version = done.dataset
    if done.stored:
        first = f"{version.slot} is at {version.name}: {count(done.moved, 'clip')} moved to another split"
    elif done.moved:
        first = f"{count(done.moved, 'clip')} of {version.slot} would get another split"
    else:
        first = f"no clip of {version.slot} moves: it stays at {version.name}"
    names = sorted(done.before.keys() | done.after.keys())
    rows = [(name, f"{done.before.get(name, 0):,}", f"{done.after.get(name, 0):,}") for name in names]
    lines = [
        first,
        table(("split", "clips before", "after"), rows),
        f"the golden set is {done.golden.tag}; verdicts on the one before are out of date" if done.golden else "",
        needs_text(done.needs),
        "dry run: nothing was changed" if dry_run else "",
    ]
    return "\n".join(filter(None, lines))
