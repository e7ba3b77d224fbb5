"""`elp backbone plan`: what a change of the backbone means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipelines.cli.options import on_workspace
from pipelines.cli.output import emit, table
from pipelines.local.workspace import Workspace
from pipelines.number_text import count, duration, size_text

if TYPE_CHECKING:
    from pipelines.migration.migration_plan import MigrationPlan


@click.command(name="plan")
@click.argument("new", metavar="BACKBONE")
@click.option("--site", "sites", multiple=True, metavar="SITE", help="Only this site; may be repeated.")
@on_workspace
def plan_verb(workspace: Workspace, new: str, sites: tuple[str, ...]) -> None:
    """Show what a change to another backbone needs.

    Trainings and their measured seconds, disk, enrolled voices, boxes, and what cannot be trained. BACKBONE is a
    checkpoint as in elp.yaml, or the fingerprint of one that versions were trained on. Nothing is loaded or changed.
    """
    from pipelines.migration.migration_plan import plan_migration

    emit(plan_migration(workspace, new, sites), _planned)


def _planned(plan: MigrationPlan) -> str:
    able = [one for one in plan.slots if not one.obstacles]
    unknown = f", and {count(plan.unknown, 'training')} whose time was not measured" if plan.unknown else ""
    summary = (
        f"{count(len(plan.slots), 'champion')} of {count(plan.versions, 'version')} would change to {plan.backbone}, "
        f"{len(plan.done)} are on it already; {count(len(able), 'training')}: {duration(plan.seconds)} estimated"
        f"{unknown}; {size_text(sum(one.bytes for one in able))} of bundles"
    )
    rows = [
        (
            one.slot,
            one.version,
            one.backbone,
            one.dataset,
            duration(one.measured) if one.measured else None,
            duration(one.seconds) if one.seconds else "unknown",
            one.voices or None,
            "; ".join(one.obstacles) or "yes",
        )
        for one in plan.slots
    ]
    headers = ("slot", "champion", "backbone", "data", "trained in", "would take", "voices", "can be trained")
    boxes = [
        f"{site}: before the next pull, the weights of {plan.backbone} have to be on {', '.join(names)}"
        for site, names in plan.boxes.items()
    ]
    notes = [f"{one.slot}: {note}" for one in plan.slots for note in one.notes]
    shown = table(headers, rows, f"no champion would change to {plan.backbone}")
    return "\n\n".join(filter(None, (summary, shown, "\n".join((*notes, *boxes)))))
