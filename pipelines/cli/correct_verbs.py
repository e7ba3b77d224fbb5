"""``elp data correct | readmit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import on_current_workspace, slot_argument
from pipelines.cli.output import emit, table
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.datasets.correct import Corrected

_SHOWN = 50
"""Corrections that are listed; JSON has all."""


@click.command(name="correct", short_help="Correct transcripts, speakers, labels, splits or groups of clips.")
@slot_argument
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--golden", is_flag=True, help="Correct clips of the golden set, too: a new golden set is made.")
@click.option("--dry-run", is_flag=True, help="List the changes, and make none.")
@click.option("--encoding", default="", metavar="NAME", help="Encoding of FILE, such as cp932 [default: UTF-8].")
@on_current_workspace
def correct_data(workspace: Workspace, slot: Slot, file: Path, golden: bool, dry_run: bool, encoding: str) -> None:
    """Correct known clips by FILE, a manifest or a CSV: a new version of the slot's data; older versions stay.

    A row names a clip by its path as delivered (audio_filepath, file_name) or by its id, and has the new text, speaker,
    label, split or group; what a row leaves out stays. Rows without a change are skipped, so a whole corrected manifest
    can be given.

    \b
    elp data correct plant-a/asr corrected_manifest.jsonl --dry-run
    elp data correct plant-a/asr names.csv --golden
    """
    from pipelines.datasets.correct import correct_clips, plan_corrections

    apply = plan_corrections if dry_run else correct_clips
    done = apply(workspace, slot, file, golden=golden, encoding=encoding)
    emit(done, lambda found: _corrected(found, dry_run))


@click.command(name="readmit", short_help="Let a dropped clip in again with the next delivery.")
@slot_argument
@click.option("--clip", required=True, metavar="ID", help="Id of the dropped clip, or its first 8 digits or more.")
@on_current_workspace
def readmit_data(workspace: Workspace, slot: Slot, clip: str) -> None:
    """Let a dropped clip in again: the next delivery that has it brings it back.

    A clip that was dropped for an erasure must stay out.
    """
    from pipelines.datasets.readmit import readmit_clip
    from pipelines.datasets.subject import Subject

    emit(
        readmit_clip(workspace, slot, Subject(clip=clip)),
        lambda version: (
            f"{slot} is at {version.name}: the clip comes back with the next delivery that has it, "
            f"such as the one that brought it: elp data add {slot} SOURCE"
        ),
    )


def _corrected(done: Corrected, dry_run: bool) -> str:
    version, shown = done.dataset, done.corrections[:_SHOWN]
    size = count(len(done.corrections), "clip")
    rows = [
        (one.line, one.before.path, name, old or "(none)", new)
        for one in shown
        for name, (old, new) in one.changes.items()
    ]
    if not done.corrections:
        lines = [f"nothing to correct in {count(done.rows, 'row')}: {version.slot} stays at {version.name}"]
    elif dry_run:
        lines = [f"{size} of {count(done.rows, 'row')} would be corrected, {done.golden_clips:,} of them golden"]
    else:
        lines = [f"{version.slot} is at {version.name} with {size} corrected"]
    lines += [
        table(("line", "clip", "what", "before", "after"), rows) if rows else "",
        f"and {len(done.corrections) - _SHOWN:,} more" if len(done.corrections) > _SHOWN else "",
        f"the golden set is {done.golden.tag}; verdicts on the one before are out of date" if done.golden else "",
        f"{count(done.quarantined, 'row')} of files in quarantine: deliver them again: elp data add {version.slot}"
        if done.quarantined
        else "",
        "dry run: nothing was changed" if dry_run else "",
    ]
    return "\n".join(filter(None, lines))
