"""The records of a slot's next dataset version and next golden set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipelines.datasets.dataset_version import (
    GOLDEN_FILE,
    DatasetVersion,
    Delivery,
    GoldenRef,
    ValidationSummary,
    parse_record,
)
from pipelines.datasets.slot_shards import ShardTotals, count_shards
from pipelines.datasets.versions import latest_number
from pipelines.local.workspace import Workspace
from pipelines.registry.lineage import ids_digest
from pipelines.registry.slot import Slot


def utc_seconds() -> str:
    """Return the current UTC time to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def next_dataset_version(
    slot: Slot,
    current: DatasetVersion | None,
    delivery: Delivery,
    totals: ShardTotals,
    *,
    shards: Iterable[Path],
    quarantine: Mapping[str, int],
    golden: str,
    validation: ValidationSummary,
    withdrawn: Iterable[str],
) -> DatasetVersion:
    """Return the record of the version after `current`; its DVC hash is that of `current` until it is stored.

    Args:
        slot: The slot.
        current: Its newest version; None makes the first.
        delivery: What came in or was dropped; it carries the new version's number and time.
        totals: Figures of all shards of the new version.
        shards: All shards of the new version.
        quarantine: Number of files in quarantine, by reason.
        golden: Tag of the golden set that is in force from now on, or empty.
        validation: Outcome of the checks.
        withdrawn: Ids of all clips that stay out for good.
    """
    return DatasetVersion(
        slot=slot,
        version=delivery.version,
        tag=slot.tag(delivery.version),
        dvc_hash=current.dvc_hash if current else "",
        clips=len(totals.ids),
        seconds=round(totals.seconds, 3),
        speakers=totals.speakers,
        splits=totals.splits,
        split_seconds=totals.split_seconds,
        conditions=totals.conditions,
        classes=totals.classes if "label" in slot.task_spec.needs else {},
        quarantined=sum(quarantine.values()),
        quarantine=dict(sorted(quarantine.items())),
        golden=golden,
        created=delivery.created,
        closed_set=bool(totals.shared),
        shards=tuple(sorted(path.name for path in shards)),
        deliveries=(*(current.deliveries if current else ()), delivery),
        validation=validation,
        withdrawn=tuple(sorted(withdrawn)),
    )


def next_golden_ref(
    workspace: Workspace, slot: Slot, shards: Sequence[Path], source_tag: str, *, closed_set: bool
) -> GoldenRef:
    """Return the record of a new golden set with the clips in `shards`; its DVC hash is empty until it is stored."""
    totals = count_shards(shards)
    number = latest_number(workspace.root, slot, "golden") + 1
    return GoldenRef(
        slot=slot,
        version=number,
        tag=slot.tag(number, "golden"),
        digest=ids_digest(totals.ids),
        dvc_hash="",
        clips=len(totals.ids),
        seconds=round(totals.seconds, 3),
        speakers=totals.speakers,
        conditions=totals.conditions,
        source_tag=source_tag,
        created=utc_seconds(),
        closed_set=closed_set,
    )


def pinned_golden(workspace: Workspace, slot: Slot) -> str:
    """Return the tag of the golden set in force in the workspace, or an empty text."""
    # not from the newest dataset version: a golden set can be pinned after it
    path = workspace.root / slot.folder / GOLDEN_FILE
    return parse_record(GoldenRef, path.read_text(encoding="utf-8")).tag if path.is_file() else ""
