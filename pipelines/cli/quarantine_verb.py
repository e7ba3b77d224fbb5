"""``elp data quarantine``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import on_current_workspace, slot_argument
from pipelines.cli.output import emit, table
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.datasets.quarantine import QuarantinedClip
    from pipelines.datasets.refused_delivery import RefusedDelivery


@click.command(name="quarantine")
@slot_argument
@click.option("--refused", is_flag=True, help="Only the clips of the last delivery that was refused as a whole.")
@on_current_workspace
def show_quarantine(slot: Slot, workspace: Workspace, refused: bool) -> None:
    """List the clips in quarantine: which file, for which reason.

    If the last delivery was refused as a whole, its unusable clips are listed, too.
    """
    from pipelines.datasets.refused_delivery import last_refused
    from pipelines.datasets.slot_shards import quarantined_clips
    from pipelines.datasets.versions import find_latest

    last = last_refused(workspace, slot)
    # of a slot without a version, the usual sentence, unless there is a refused delivery to show
    stored = [] if refused or (last and find_latest(workspace, slot) is None) else quarantined_clips(workspace, slot)
    found = [*(last.clips if last else ())] if refused else stored
    emit(found, lambda _: "\n\n".join(filter(None, [_quarantined(slot, stored, refused), _refused(last)])))


def _quarantined(slot: Slot, stored: Sequence[QuarantinedClip], refused: bool) -> str:
    rows = [(one.path, one.reason, one.detail) for one in stored]
    if refused:
        return ""
    return table(("file", "reason", "detail"), rows, f"nothing of {slot} is in quarantine")


def _refused(last: RefusedDelivery | None) -> str:
    if last is None:
        return ""
    rows = [(one.path, one.reason, one.detail) for one in last.clips]
    when = last.created.replace("T", " ")[:16]
    lines = [
        f"the delivery {last.source} was refused at {when} UTC, nothing of it was taken in:",
        *(f"  - {fault}" for fault in last.faults),
        table(("file", "reason", "detail"), rows, "each of its clips could be used"),
    ]
    return "\n".join(lines)
