"""``elp data pseudo-label``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import FiniteNumber, on_current_workspace, slot_argument
from pipelines.cli.output import emit, wants_json
from pipelines.cli.progress_bar import clips_progress
from pipelines.local.workspace import Workspace
from pipelines.number_text import count, duration
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.selection.pseudo_label import PseudoLabelling

_SHARE = FiniteNumber(0.0, 1.0)


@click.command(name="pseudo-label", short_help="Let the champion label recordings on which two decodings agree.")
@slot_argument
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--share", type=_SHARE, default=0.3, help="Most audio, as a share of the labelled training audio [0.3].")
@click.option("--agree", type=_SHARE, default=0.05, help="asr: most character errors between the decodings [0.05].")
@click.option("--confidence", type=_SHARE, default=0.8, help="Least confidence in both decodings [0.8].")
@click.option("--dry-run", is_flag=True, help="Say what would be labelled, and change nothing.")
@on_current_workspace
def pseudo_label_data(
    workspace: Workspace, slot: Slot, folder: Path, share: float, agree: float, confidence: float, dry_run: bool
) -> None:
    """Label recordings of FOLDER by the slot's champion, and take them in as training clips.

    A recording is taken if its transcript (asr) or class (ser, sic) is the same with light noise and another speed. The
    clips are marked, never in validation, test or a golden set, and dropped as a whole with: elp data drop --teacher

    \b
    elp data pseudo-label plant-a/asr recordings/ --dry-run
    elp data pseudo-label plant-a/asr recordings/ --share 0.2
    """
    from pipelines.selection.agreement import AgreementLimits
    from pipelines.selection.pseudo_label import pseudo_label

    limits = AgreementLimits(share, agree, confidence)
    with clips_progress(quiet=wants_json()) as report:
        done = pseudo_label(workspace, slot, folder, limits, dry_run=dry_run, report=report)
    emit(done, lambda found: _labelled(found, dry_run))


def _labelled(done: PseudoLabelling, dry_run: bool) -> str:
    refused = ", ".join(f"{number:,} {reason}" for reason, number in done.refused.items())
    strata = ", ".join(f"{name}: {number:,}" for name, number in done.strata.items())
    by = "class" if "label" in done.slot.task_spec.needs else "quarter of the lengths"
    lines = [
        f"{done.slot}: {count(done.taken, 'recording')} {'would be ' if dry_run else ''}labelled by the champion, "
        f"v{done.champion}: {duration(done.seconds)} of the {duration(done.budget)} that the share allows",
        f"{done.agreed:,} of {count(done.considered, 'recording')} agreed",
        f"not taken: {refused}" if refused else "",
        f"taken by {by}: {strata}" if strata else "",
        f"left out: {count(len(done.left_out), 'recording')} (--json lists them)" if done.left_out else "",
    ]
    if done.dataset:
        drop = f"elp data drop {done.slot} --teacher {done.teacher[:19]}"
        lines.append(f"{done.slot} is at {done.dataset.name}; drop them as a whole with: {drop}")
    return "\n".join(filter(None, [*lines, "dry run: nothing was changed" if dry_run else ""]))
