"""What ``elp data add --dry-run`` prints: what a delivery would bring."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.cli.output import emit, fields, table, wants_json
from pipelines.cli.progress_bar import clips_progress
from pipelines.datasets.readiness import needs_text
from pipelines.errors import DataRefused
from pipelines.local.workspace import Workspace
from pipelines.number_text import count, duration
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.datasets.aligned_delivery import Aligner
    from pipelines.datasets.delivery_plan import IntakePlan


def show_plan(
    workspace: Workspace,
    slot: Slot,
    source: Path,
    importer: str | None,
    options: Mapping[str, Any],
    aligner: Aligner | None = None,
) -> None:
    """Print what intake would do; DataRefused if it would refuse the delivery as a whole."""
    from pipelines.datasets.delivery_plan import plan_delivery

    with clips_progress(quiet=wants_json()) as report:
        plan = plan_delivery(workspace, slot, source, importer, options, report, aligner=aligner)
    emit(plan, _planned)
    if plan.refused:
        raise DataRefused(str(slot), plan.refused)


def _planned(plan: IntakePlan) -> str:
    end = f"{plan.slot} would be at {plan.version}" if plan.version else "nothing in it is new: no version"
    new = f"{plan.clips:,} new, {duration(plan.seconds)}; {plan.repeats:,} known"
    if plan.withdrawn:
        new += f"; {plan.withdrawn:,} were dropped before and stay out"
    facts = [
        ("source", f"{plan.source}, format {plan.importer}"),
        ("protocol", plan.protocol),
        ("aligned with", str(plan.alignment or "")),
        ("clips", f"{plan.delivered:,} in the source: {new}; {plan.quarantined:,} to quarantine"),
        ("speakers", f"{plan.speakers:,}, of them {plan.new_speakers:,} new"),
        ("outcome", "refused, see below" if plan.refused else end),
    ]
    facts_text = fields((name, value) for name, value in facts if value)
    return "\n\n".join(filter(None, (facts_text, plan_tables(plan), "dry run: nothing was changed")))


def plan_tables(plan: IntakePlan) -> str:
    """Return what a delivery would bring: splits, labels, conditions, quarantine, and what a person should know."""
    splits = [(name, f"{count:,}", f"{plan.split_seconds[name] / 60:.1f}") for name, count in plan.splits.items()]
    reasons = [(reason, f"{count:,}", plan.details[reason]) for reason, count in plan.quarantine.items()]
    parts = [
        table(("split", "clips", "minutes"), splits) if splits else "",
        table(("label", "clips"), counted(plan.labels)) if plan.labels else "",
        table(("condition", "clips"), counted(plan.conditions)) if plan.conditions else "",
        group_table(plan.groups),
        table(("quarantined for", "clips", "the first"), reasons) if reasons else "",
        "\n".join(filter(None, (filled_text(plan.filled), *plan.warnings, needs_text(plan.needs)))),
    ]
    return "\n\n".join(filter(None, parts))


def filled_text(filled: Mapping[str, int]) -> str:
    """Return which splits a delivery filled that the slot lacked; empty if none."""
    shown = ", ".join(f"{count(number, 'clip')} to {split}" for split, number in sorted(filled.items()))
    return f"the slot lacked a split: the rule for small slots moved {shown}" if filled else ""


def counted(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return the rows of a table of counts by name."""
    return [(name or "(not named)", f"{count:,}") for name, count in counts.items()]


def group_table(groups: Mapping[str, Mapping[str, int]]) -> str:
    """Return the table of the clips by group; empty if no clip has one."""
    rows = [(f"{key}={value}", f"{number:,}") for key, values in groups.items() for value, number in values.items()]
    return table(("group", "clips"), rows) if rows else ""
