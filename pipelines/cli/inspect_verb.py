"""``elp data inspect``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.dry_run import plan_tables
from pipelines.cli.options import SLOT, json_option, options_of_delivery
from pipelines.cli.output import emit, fields, wants_json
from pipelines.cli.progress_bar import clips_progress
from pipelines.errors import IntakeError, WorkspaceError
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.number_text import duration
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.datasets.inspect_source import Inspection

_SHOWN = 8
"""Names that are listed; JSON has all."""


@click.command(name="inspect", short_help="Say what a source is, and how to take it in.")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("slot", type=SLOT, metavar="[SITE/TASK]", required=False)
@options_of_delivery
@click.option(
    "-w", "--workspace", type=click.Path(path_type=Path), metavar="DIR", help="The workspace, if there is one."
)
@json_option
@click.pass_context
def inspect_data(
    ctx: click.Context, /, source: Path, slot: Slot | None, importer: str | None, workspace: Path | None, **options: Any
) -> None:
    """Say what SOURCE is: its format, clips, speakers, labels, and the `elp data add` line that takes it in.

    The files are read and checked as at intake, and nothing is changed. With SITE/TASK the plan is that of this slot
    and its settings. No workspace is needed.

    \b
    elp data inspect recordings/
    elp data inspect clips.csv plant-a/asr
    """
    from pipelines.datasets.inspect_source import inspect_source

    place = _workspace(workspace or ctx.find_root().obj)
    with clips_progress(quiet=wants_json()) as report:
        found = inspect_source(source, slot, place, importer, options, report)
    emit(found, _inspected)
    if found.problem:
        raise IntakeError(f"{source} cannot be taken in as it is: {found.problem}", found.faults)


def _workspace(start: Path | None) -> Workspace | None:
    """Return the workspace that is named or around; None if there is none around."""
    try:
        return open_workspace(start)
    except WorkspaceError:
        if start or os.environ.get("ELP_WORKSPACE"):
            raise
        return None


def _inspected(found: Inspection) -> str:
    plan = found.plan
    facts = [
        ("source", found.source),
        ("format", found.format or "none of the known ones"),
        ("clips", _clips(found)),
        ("transcripts", f"{found.texts:,}" if found.texts else ""),
        ("speakers", _some(found.speakers)),
        ("labels", _some(found.labels)),
        ("languages", _languages(found)),
        ("columns", ", ".join(f"{what}={column}" for what, column in found.columns.items())),
    ]
    parts = [
        fields((name, value) for name, value in facts if value),
        "\n".join(found.findings),
        f"{'with the first line, ' if len(found.lines) > 1 else ''}the slot would get:" if plan else "",
        plan_tables(plan) if plan else "",
        "\n".join(f"it would be refused: {fault}" for fault in plan.refused) if plan else "",
        "\n".join(["set first in elp.yaml:", *(f"  {one}" for one in found.settings)]) if found.settings else "",
        "\n".join(_lines(found)),
    ]
    return "\n\n".join(filter(None, parts))


def _lines(found: Inspection) -> list[str]:
    if not found.lines:
        return []
    several = len({line.meaning for line in found.lines}) > 1
    shown, before = ["take it in with:"], ""
    for line in found.lines:
        if several and line.meaning != before:
            shown.append(f"  if {line.meaning}:")
            before = line.meaning
        shown.append(f"  {line.command}")
    return shown


def _clips(found: Inspection) -> str:
    if not found.plan:
        return f"{found.clips:,}" if found.clips else ""
    return f"{found.clips:,}; {found.plan.clips:,} good, {duration(found.plan.seconds)}"


def _languages(found: Inspection) -> str:
    if found.languages:
        return ", ".join(f"{name} ({count:,})" for name, count in found.languages.items())
    return f"probably {' or '.join(found.likely_languages[:4])}" if found.likely_languages else ""


def _some(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    names = ", ".join([*counts][:_SHOWN]) + (" …" if len(counts) > _SHOWN else "")
    return f"{len(counts):,}: {names}"
