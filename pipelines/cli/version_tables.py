"""What ``elp data log`` and ``elp data show`` print of dataset versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.cli.dry_run import counted
from pipelines.cli.output import fields, seconds, table
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.datasets.dataset_version import DatasetVersion


def version_list(slot: Slot, found: list[DatasetVersion]) -> str:
    """Return a table of dataset versions."""
    rows = [
        (
            version.name,
            version.created.replace("T", " ")[:16],
            f"{version.clips:,}",
            f"{version.seconds / 60:.1f}",
            version.speakers,
            version.quarantined,
            version.golden.rsplit("/", 1)[-1] + (" (closed set)" if version.closed_set else ""),
            version.deliveries[-1].source,
            version.revision[:9],
        )
        for version in found
    ]
    headers = ("version", "made (UTC)", "clips", "minutes", "speakers", "quarantined", "golden", "source", "revision")
    return table(headers, rows, f"{slot} has no dataset version yet; take audio in with: elp data add {slot} SOURCE")


def version_page(version: DatasetVersion, workspace: Workspace) -> str:
    """Return the splits, conditions, quarantine and checks of a dataset version."""
    from pipelines.datasets.dataset_version import protocols

    shared = ", shared between the splits (closed set)" if version.closed_set else ""
    facts: list[tuple[str, Any]] = [
        ("version", f"{version.tag}, made {version.created}"),
        ("clips", f"{version.clips:,} in {len(version.shards)} shard(s), {seconds(version.seconds)}"),
        ("speakers", f"{version.speakers}{shared}"),
        ("golden set", version.golden),
        *([("protocol", named)] if (named := protocols(version.deliveries)) else []),
        *([("language", str(version.language))] if version.language.code else []),
        *([("units", f"{len(version.units['symbols'])} {version.units['kind']}")] if version.units else []),
        ("revision", version.revision),
        ("DVC hash", version.dvc_hash),
    ]
    splits = [(name, f"{count:,}", f"{version.split_seconds[name] / 60:.1f}") for name, count in version.splits.items()]
    rules = [(rule.expects, rule.broken, rule.reason) for rule in version.validation.rules]
    parts = [
        fields(facts),
        table(("split", "clips", "minutes"), splits),
        table(("condition", "clips"), counted(version.conditions)),
        *_classes(version),
        table(("quarantined for", "clips"), counted(version.quarantine), "nothing in quarantine"),
        f"checks of the newest delivery ({version.validation.evaluated:,} clips read)",
        table(("expected", "broken", "reason"), rules),
    ]
    if version.doubtful_names:
        parts.append(f"names to check: {_doubtful(version)}")
    docs = workspace.root / version.validation.docs
    if docs.is_file():
        parts.append(f"Data Docs: {docs}")
    return "\n\n".join(parts)


def _classes(version: DatasetVersion) -> list[str]:
    """Return the clips of each class in each split; nothing if the task has no classes."""
    if not version.classes:
        return []
    splits = [split for split in version.splits if split in version.classes]
    labels = sorted({label for split in splits for label in version.classes[split]})
    rows = [(label, *(f"{version.classes[split].get(label, 0):,}" for split in splits)) for label in labels]
    return [table(("class", *splits), rows)]


def _doubtful(version: DatasetVersion) -> str:
    counts = ", ".join(f"{count:,} {kind}s" for kind, count in version.doubtful_names.items())
    return f"{counts} that look like another name, or like a missing value"
