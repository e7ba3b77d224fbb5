"""``elp data renormalise``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipelines.cli.options import on_current_workspace, slot_argument
from pipelines.cli.output import emit, table
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.datasets.renormalise import Renormalised

_SHOWN = 50
"""Clips that are listed; JSON has all."""


@click.command(name="renormalise", short_help="Normalise the stored transcripts again, under the present language.")
@slot_argument
@click.option("--golden", is_flag=True, help="Make a new golden set with the new transcripts, too.")
@click.option("--quarantine", is_flag=True, help="Move clips that the present rule does not allow to quarantine.")
@click.option("--dry-run", is_flag=True, help="List the changes, and make none.")
@on_current_workspace
def renormalise_data(workspace: Workspace, slot: Slot, golden: bool, quarantine: bool, dry_run: bool) -> None:
    """Normalise the stored transcripts again, under the language that elp.yaml declares now: a new version.

    For a slot whose `language` (or `digits` or `units`) was changed, or whose language packages were updated. Older
    versions stay. Only normal forms are stored: a change that needs what the earlier rule removed is refused. If clips
    would go to quarantine, nothing changes without --quarantine.

    \b
    elp data renormalise plant-a/asr --dry-run
    elp data renormalise plant-a/asr --golden --quarantine
    """
    from pipelines.datasets.renormalise import plan_renormalise, renormalise

    if dry_run:
        done = plan_renormalise(workspace, slot, golden=golden)
    else:
        done = renormalise(workspace, slot, golden=golden, quarantine=quarantine)
    emit(done, lambda found: _renormalised(found, dry_run))


def _renormalised(done: Renormalised, dry_run: bool) -> str:
    version, slot = done.dataset, done.dataset.slot
    bad, others = done.quarantined, len(done.clips) - len(done.quarantined)
    changes = f"{count(others, 'transcript')} changed, {count(len(bad), 'clip')} to quarantine"
    rows = [
        (one.path, one.fault.reason if one.fault else "", one.before, one.after)
        for one in sorted(done.clips, key=lambda one: one.fault is None)[:_SHOWN]
    ]
    if not done.clips and done.before == done.after and not done.stored and not dry_run:
        return f"nothing changes: the transcripts of {version.tag} are {done.after} already; no version was made"
    named = f"from {done.before} to {done.after}" if done.before != done.after else f"again as {done.after}"
    at = f"{slot} is at {version.name}: {changes}, {named}"
    at = f"{slot} would be normalised {named}: {changes}" if dry_run else at
    old = f"{done.golden_clips:,} of these clips are in {version.golden}, " if done.golden_clips else ""
    end = "dry run: nothing was changed" if dry_run else ""
    if bad and not dry_run:
        end = f"list what is in quarantine with: elp data quarantine {slot}"
    lines = [
        at,
        table(("clip", "quarantine", "before", "after"), rows) if rows else "",
        f"and {len(done.clips) - _SHOWN:,} more" if len(done.clips) > _SHOWN else "",
        f"units: {done.units[0]} before, {done.units[1]} now" if done.units[0] != done.units[1] else "",
        f"the golden set is {done.golden.tag}; verdicts on the one before are out of date" if done.golden else "",
        f"{old}which stays as it was: make a new golden set with: elp data golden {slot} --from {version.name}"
        if old and done.stored and not done.golden
        else "",
        end,
    ]
    return "\n".join(filter(None, lines))
