"""``elp data show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.dry_run import counted, group_table
from pipelines.cli.options import complete_slot_at, on_current_workspace
from pipelines.cli.output import emit, fields, table
from pipelines.local.workspace import Workspace
from pipelines.number_text import count, duration
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.datasets.dataset_version import DatasetVersion


@click.command(name="show", short_help="Show splits, conditions, groups, quarantine and checks of a version.")
@click.argument("what", metavar="SITE/TASK[@vN]", shell_complete=complete_slot_at)
@on_current_workspace
def show_version(what: str, workspace: Workspace) -> None:
    """Show what a version holds: splits, conditions, groups, speakers, quarantine, checks."""
    from pipelines.datasets.versions import version_at

    name, _, version = what.partition("@")
    slot = Slot.parse(name)
    emit(version_at(workspace, version, slot), lambda found: _shown(found, workspace))


def _shown(version: DatasetVersion, workspace: Workspace) -> str:
    from pipelines.datasets.dataset_version import protocols
    from pipelines.datasets.readiness import needs_text
    from pipelines.datasets.slot_needs import version_needs

    shared = ", shared between the splits (closed set)" if version.closed_set else ""
    facts: list[tuple[str, Any]] = [
        ("version", f"{version.tag}, made {version.created}"),
        ("clips", f"{version.clips:,} in {count(len(version.shards), 'shard')}, {duration(version.seconds)}"),
        ("speakers", f"{version.speakers}{shared}"),
        *([("pseudo-labels", _taught(version))] if version.taught_clips else []),
        ("golden set", version.golden),
        *([("protocol", named)] if (named := protocols(version.deliveries)) else []),
        *([("language", str(version.language))] if version.language.code else []),
        *([("units", f"{len(version.units['symbols'])} {version.units['kind']}")] if version.units else []),
        ("revision", version.revision),
        ("DVC hash", version.dvc_hash),
    ]
    splits = [
        (name, f"{number:,}", f"{version.split_seconds[name] / 60:.1f}") for name, number in version.splits.items()
    ]
    rules = [(rule.expects, rule.broken, rule.reason) for rule in version.validation.rules]
    parts = [
        fields(facts),
        table(("split", "clips", "minutes"), splits),
        table(("condition", "clips"), counted(version.conditions)),
        *filter(None, [group_table(version.groups)]),
        *_classes(version),
        table(("quarantined for", "clips"), counted(version.quarantine), "nothing in quarantine"),
        f"checks of the newest delivery ({count(version.validation.evaluated, 'clip')} read)",
        table(("expected", "broken", "reason"), rules),
    ]
    if needs := needs_text(version_needs(workspace, version)):
        parts.append(needs)
    if version.doubtful_names:
        parts.append(f"names to check: {_doubtful(version)}")
    docs = workspace.root / version.validation.docs
    if docs.is_file():
        parts.append(f"Data Docs: {docs}")
    return "\n\n".join(parts)


def _taught(version: DatasetVersion) -> str:
    shown = ", ".join(teacher[:19] for teacher in version.teachers)
    return f"{count(version.taught_clips, 'training clip')}, {duration(version.taught_seconds)}, by {shown}"


def _classes(version: DatasetVersion) -> list[str]:
    """Return the clips of each class in each split; nothing if the task has no classes."""
    if not version.classes:
        return []
    splits = [split for split in version.splits if split in version.classes]
    labels = sorted({label for split in splits for label in version.classes[split]})
    rows = [(label, *(f"{version.classes[split].get(label, 0):,}" for split in splits)) for label in labels]
    return [table(("class", *splits), rows)]


def _doubtful(version: DatasetVersion) -> str:
    counts = ", ".join(count(number, kind) for kind, number in version.doubtful_names.items())
    return f"{counts} that look like another name, or like a missing value"
