"""``elp data suggest``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import on_current_workspace, slot_argument
from pipelines.cli.output import emit, progress, table, wants_json
from pipelines.cli.progress_bar import clips_progress
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.selection.suggest import LabelSuggestion

_SHOWN = 20
"""Recordings that are listed; the files have all."""


@click.command(name="suggest", short_help="Suggest which recordings of a folder to label next.")
@slot_argument
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-n", "number", type=click.IntRange(min=1), default=100, help="Recordings to suggest [default: 100].")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of the files [default: suggest-SITE-TASK here].",
)
@click.option("--no-champion", is_flag=True, help="Choose by coverage alone; no server is needed.")
@on_current_workspace
def suggest_data(
    workspace: Workspace, slot: Slot, folder: Path, number: int, output: Path | None, no_champion: bool
) -> None:
    """Suggest which recordings of FOLDER to label next for the slot.

    A recording is worth more if the champion is unsure of it, and if it stands for many others that are not like a
    labelled clip. The files are a table, and tasks with drafts for Label Studio; nothing of the slot is changed.

    \b
    elp data suggest plant-a/asr recordings/ -n 100
    elp data add plant-a/asr export.json --root recordings/
    """
    from pipelines.selection.suggest import suggest_clips
    from pipelines.selection.suggestion_files import write_suggestion

    with clips_progress(quiet=wants_json()) as report:
        found = suggest_clips(
            workspace, slot, folder, number, use_champion=not no_champion, report=report, log=progress
        )
    files = [str(path) for path in write_suggestion(found, output or Path(f"suggest-{slot.site}-{slot.task}"))]
    emit({**plain(found), "files": files}, lambda _: _suggested(found, files))


def _suggested(found: LabelSuggestion, files: list[str]) -> str:
    rows = [(clip.path, clip.score, clip.reasons, clip.draft) for clip in found.clips[:_SHOWN]]
    more = len(found.clips) - _SHOWN
    reasons: dict[str, int] = {}
    for one in found.left_out:
        reasons[one.reason] = reasons.get(one.reason, 0) + 1
    out = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
    lines = [
        f"{count(len(found.clips), 'recording')} of {found.considered:,} to label for {found.slot}, by {found.basis}",
        table(("recording", "score", "why", "draft"), rows),
        f"and {more:,} more" if more > 0 else "",
        f"left out: {out} (see {files[-1]})" if out else "",
        f"written: {', '.join(files)}",
    ]
    return "\n".join(filter(None, lines))
