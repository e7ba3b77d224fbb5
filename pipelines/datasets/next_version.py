"""A slot's next dataset version, and its next golden set where there is one, as one change to store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.datasets.dataset_version import (
    DATASET_FILE,
    GOLDEN,
    GOLDEN_FILE,
    SHARDS,
    DatasetVersion,
    GoldenRef,
    read_golden,
    record_text,
)
from pipelines.datasets.gather import Totals
from pipelines.datasets.golden_set import now
from pipelines.datasets.transaction import Change
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

Files = Mapping[str, Sequence[Path]]
"""Paths by the name of their folder in the slot."""


def number_after(current: DatasetVersion | None) -> int:
    """Number of the version after `current`, or of the first one."""
    return current.version + 1 if current else 1


def dataset_record(
    slot: Slot,
    current: DatasetVersion | None,
    figures: Totals,
    delivery: Mapping[str, Any],
    *,
    shards: Sequence[Path],
    quarantine: Mapping[str, int],
    golden: str,
    validation: Mapping[str, Any],
    withdrawn: Sequence[str],
) -> DatasetVersion:
    """Record of the version after `current`, its DVC hash that of the version before.

    Args:
        slot: the slot.
        current: its newest version; None makes the first.
        figures: of all its shards as they will be.
        delivery: what came in or went, for the record; version and time are added.
        shards: all of them as they will be.
        quarantine: files in quarantine, by reason.
        golden: tag of the golden set in force from now on, or empty.
        validation: outcome of the checks.
        withdrawn: ids of every clip that stays out for good.
    """
    version, created = number_after(current), now()
    return DatasetVersion(
        slot=slot,
        version=version,
        tag=slot.tag(version),
        dvc_hash=current.dvc_hash if current else "",
        clips=len(figures.ids),
        seconds=round(figures.seconds, 3),
        speakers=figures.speakers,
        splits=dict(sorted(figures.splits.items())),
        split_seconds=figures.split_seconds,
        conditions=figures.conditions,
        classes=figures.classes if "label" in slot.task_spec.needs else {},
        quarantined=sum(quarantine.values()),
        quarantine=quarantine,
        golden=golden,
        created=created,
        closed_set=bool(figures.shared),
        shards=tuple(sorted(path.name for path in shards)),
        deliveries=(*(current.deliveries if current else ()), {**delivery, "version": version, "created": created}),
        validation=validation,
        withdrawn=tuple(sorted(withdrawn)),
    )


def version_change(
    record: DatasetVersion, golden: GoldenRef | None, arriving: Files, leaving: Files, subject: str
) -> Change:
    """What stores a version made by `dataset_record`.

    Args:
        record: the version.
        golden: a new golden set, made by `golden_record`; None leaves the one in force.
        arriving: staged files.
        leaving: files of the slot that go away.
        subject: of the commit.
    """
    folder = record.slot.folder

    def describe(hashes: Mapping[Path, str]) -> dict[Path, str]:
        made = replace(record, dvc_hash=hashes.get(folder / SHARDS, record.dvc_hash))
        texts = {folder / DATASET_FILE: record_text(made)}
        if golden:
            texts[folder / GOLDEN_FILE] = record_text(replace(golden, dvc_hash=hashes[folder / GOLDEN]))
        return texts

    tags = {record.tag: f"{record.clips} clips, {record.seconds / 60:.1f} minutes"}
    changed = {name for files in (arriving, leaving) for name, paths in files.items() if paths}
    return Change(
        slot=record.slot,
        arriving={path: folder / name / path.name for name, paths in arriving.items() for path in paths},
        leaving=[folder / name / path.name for name, paths in leaving.items() for path in paths],
        folders=[folder / name for name in sorted(changed)],
        describe=describe,
        subject=subject,
        tags=tags | ({golden.tag: f"{golden.clips} clips, {golden.digest}"} if golden else {}),
    )


def pinned_golden(workspace: Workspace, slot: Slot) -> str:
    """Tag of the golden set in force in the workspace, or empty."""
    path = workspace.root / slot.folder / GOLDEN_FILE
    return read_golden(path.read_text(encoding="utf-8")).tag if path.is_file() else ""
