"""Golden sets: a slot's pinned evaluation data. Made once from the first test clips, changed only when asked to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pipelines.datasets import dvc
from pipelines.datasets.dataset_version import GOLDEN, GOLDEN_FILE, SHARDS, DatasetVersion, GoldenRef, record_text
from pipelines.datasets.gather import select, totals
from pipelines.datasets.transaction import Change, disk_guard, exclusive, recover, staging, store
from pipelines.datasets.versions import Where, golden_ref, version_at
from pipelines.errors import DataRefused
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.registry.lineage import ids_digest
from pipelines.registry.slot import Slot


def now() -> str:
    """UTC to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def golden_record(slot: Slot, version: int, shards: Sequence[Path], source_tag: str, *, closed_set: bool) -> GoldenRef:
    """Record of the golden set that `shards` hold, its DVC hash still empty."""
    figures = totals(shards)
    return GoldenRef(
        slot=slot,
        version=version,
        tag=slot.tag(version, "golden"),
        digest=ids_digest(figures.ids),
        dvc_hash="",
        clips=len(figures.ids),
        seconds=round(figures.seconds, 3),
        speakers=figures.speakers,
        conditions=figures.conditions,
        source_tag=source_tag,
        created=now(),
        closed_set=closed_set,
    )


def golden_versions(where: Where, slot: Slot) -> int:
    """How many golden sets the slot has had."""
    folder = where.root if isinstance(where, Workspace) else Path(where)
    return max((int(tag.rsplit("/v", 1)[1]) for tag in git.tags(folder, f"golden/{slot}/v*")), default=0)


def pin_golden(workspace: Workspace, slot: Slot, source_tag: str) -> GoldenRef:
    """Make the test split of a dataset version the slot's golden set, as a new version of it.

    Args:
        workspace: the workspace.
        slot: the slot.
        source_tag: a dataset version (``v3``, its tag, ``latest``) or any Git revision.

    Returns:
        The new golden set, or the one in force where it holds the same clips already.

    Raises:
        DataRefused: where that version has no test clip.
        VersioningError: where there is no such version.
    """
    root = workspace.root
    with exclusive(workspace):
        recover(workspace, slot)
        git.require_identity(root)
        git.require_clean(root, slot.folder)
        source = version_at(workspace, source_tag, slot)
        fetched = dvc.fetch(str(root), source.revision, slot.folder / SHARDS, workspace.state / "cache")
        with (
            disk_guard(root, sum(path.stat().st_size for path in fetched)),
            staging(workspace, slot) as stage,
        ):
            chosen = select(fetched, "test", stage / GOLDEN)
            if not chosen:
                raise DataRefused(str(slot), [f"{source.tag} has no test clip to make a golden set of"])
            held = golden_versions(workspace, slot)
            if held and golden_ref(workspace, "latest", slot).digest == ids_digest(totals(chosen).ids):
                return golden_ref(workspace, "latest", slot)
            store(workspace, _change(workspace, slot, chosen, held + 1, source))
    return golden_ref(workspace, "latest", slot)


def _change(workspace: Workspace, slot: Slot, chosen: Sequence[Path], version: int, source: DatasetVersion) -> Change:
    folder = slot.folder / GOLDEN
    record = golden_record(slot, version, chosen, source.tag, closed_set=source.closed_set)
    names = {path.name for path in chosen}
    present = sorted((workspace.root / folder).glob("*.parquet"))
    return Change(
        slot=slot,
        arriving={path: folder / path.name for path in chosen},
        leaving=[folder / path.name for path in present if path.name not in names],
        folders=[folder],
        describe=lambda hashes: {
            slot.folder / GOLDEN_FILE: record_text(replace(record, dvc_hash=hashes[folder])),
        },
        subject=f"Pin the golden set of {slot} from {source.tag} (v{version}, {record.clips} clips)",
        tags={record.tag: f"{record.clips} clips, {record.digest}"},
    )
