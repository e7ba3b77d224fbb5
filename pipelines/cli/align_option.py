"""The option ``--align`` of `elp data add`, and the adapter that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipelines.cli.output import wants_json
from pipelines.cli.progress_bar import spaced_lines
from pipelines.local.workspace import Workspace
from pipelines.number_text import duration
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.datasets.aligned_delivery import Aligner

align_option = click.option(
    "--align",
    metavar="ADAPTER",
    help="Cut long recordings that have one transcript, aligned by an adapter: champion, SITE/asr or SITE/asr@vN.",
)
"""The function gets `align: str | None`."""


def chosen_aligner(workspace: Workspace, slot: Slot, which: str | None) -> Aligner | None:
    """Return the adapter that ``--align`` names, or None without the option; it reports its progress on stderr."""
    if which is None:
        return None
    from pipelines.datasets.aligned_delivery import SEGMENT_SECONDS
    from pipelines.local.addresses import mlflow_uri
    from pipelines.serving.champion_aligner import find_aligner

    say = spaced_lines()
    return find_aligner(
        which,
        slot,
        workspace.settings,
        mlflow_uri=mlflow_uri(workspace),
        cache=workspace.cache,
        max_seconds=SEGMENT_SECONDS,
        report=None if wants_json() else lambda done: say(f"{duration(done)} of the recording aligned"),
    )
