"""Drop a person's or a recording's clips from a slot: a new dataset version without them, and a golden set, too.

Shards stay immutable: those that held such clips give way to new ones. The ids of the clips are kept with the version,
so that no later delivery brings them back. Older versions keep what they had until their files are removed from the DVC
remote.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.clients import git
from pipelines.errors import DataRefused, UsageError
from pipelines.intake.quarantine import without
from pipelines.settings import Slot
from pipelines.steps.checks import check_clips, set_faults
from pipelines.steps.dataset import golden_ref, latest, version_at
from pipelines.steps.gather import Totals, keep, totals
from pipelines.steps.golden import golden_record, golden_versions, now
from pipelines.steps.ingest import docs_folder
from pipelines.steps.slot_files import bring_back, files
from pipelines.steps.subject import Subject
from pipelines.steps.transaction import Change, disk_guard, exclusive, recover, staging, store
from pipelines.steps.versions import (
    DATASET_FILE,
    GOLDEN,
    GOLDEN_FILE,
    QUARANTINE,
    SHARDS,
    DatasetVersion,
    GoldenRef,
    read_golden,
    record_text,
)
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Dropped:
    """What a drop did."""

    dataset: DatasetVersion
    clips: int
    quarantined: int
    """Files taken out of quarantine."""
    golden: GoldenRef | None
    """The new golden set; None where the one in force held none of the clips."""


@dataclass(frozen=True)
class _Folder:
    """A folder of the slot before and after."""

    arriving: list[Path]
    leaving: list[Path]
    dropped: set[str]
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Of quarantine: files taken out, by their reason."""


def drop(workspace: Workspace, slot: Slot, who: Subject) -> Dropped:
    """Make a new version of the slot's data without somebody's clips.

    Args:
        workspace: the workspace.
        slot: the slot.
        who: whose.

    Raises:
        UsageError: where the newest version and the golden set hold no such clip.
        DataRefused: where what would be left fails the checks of any delivery, or no golden clip would be left.
        WorkspaceError: no identity, a dirty tree, a full disk, another run that does not end.
        VersioningError: Git or DVC failed; nothing was changed.
    """
    root = workspace.root
    with exclusive(workspace):
        recover(workspace, slot)
        git.require_identity(root)
        git.require_clean(root, slot.folder)
        current = latest(workspace, slot)
        bring_back(workspace, slot, current, golden=True)
        size = sum(path.stat().st_size for path in files(workspace, slot, SHARDS))
        with disk_guard(root, size), staging(workspace, slot) as stage:
            found = {
                SHARDS: _without(files(workspace, slot, SHARDS), who, stage / SHARDS),
                GOLDEN: _without(files(workspace, slot, GOLDEN), who, stage / GOLDEN),
                QUARANTINE: _quarantine(files(workspace, slot, QUARANTINE), who, stage / QUARANTINE),
            }
            if not any(folder.dropped for folder in found.values()):
                raise UsageError(f"{current.tag} holds nothing of {who}; who holds it: elp audit {slot} {who.option}")
            change, golden = _change(workspace, current, found)
            store(workspace, change)
    pinned = golden_ref(workspace, golden, slot) if golden else None
    gone = found[SHARDS].dropped | found[GOLDEN].dropped
    return Dropped(version_at(workspace, "latest", slot), len(gone), len(found[QUARANTINE].dropped), pinned)


def _without(shards: Sequence[Path], who: Subject, stage: Path) -> _Folder:
    """New shards in place of those that hold clips of `who`."""
    dropped: set[str] = set()
    leaving = []
    for shard in shards:
        table = pq.read_table(shard, columns=["id", "speaker"]).to_pydict()
        mine = {key for key, name in zip(table["id"], table["speaker"], strict=True) if who.matches(key, name)}
        if mine:
            leaving.append(shard)
            dropped |= mine
    return _Folder(keep(leaving, dropped, stage), leaving, dropped)


def _quarantine(shards: Sequence[Path], who: Subject, stage: Path) -> _Folder:
    arriving, leaving, gone = [], [], []
    for shard in shards:
        kept, taken = without(shard, lambda row: who.matches(row["sha256"], row["speaker"] or ""), stage)
        if taken:
            leaving.append(shard)
            arriving += kept
            gone += taken
    return _Folder(arriving, leaving, {one.sha256 for one in gone}, Counter(one.reason for one in gone))


def _change(workspace: Workspace, current: DatasetVersion, found: Mapping[str, _Folder]) -> tuple[Change, str]:
    """The change to store, and the tag of the new golden set or an empty text."""
    slot, version = current.slot, current.version + 1
    tag = slot.tag(version)
    left = {name: _left(workspace, slot, name, folder) for name, folder in found.items()}
    figures = totals(left[SHARDS])
    summary = _checked(workspace, slot, found[SHARDS], figures)
    golden, pinned = None, _pinned(workspace, slot)
    if found[GOLDEN].leaving:
        if not left[GOLDEN]:
            raise DataRefused(str(slot), [f"no clip of {pinned} would be left; add test clips of others first"])
        number = golden_versions(workspace, slot) + 1
        golden = golden_record(slot, number, left[GOLDEN], tag, closed_set=bool(figures.shared))
    record = _record(current, found, left, figures, summary, golden.tag if golden else pinned)

    def describe(hashes: Mapping[Path, str]) -> dict[Path, str]:
        shards = hashes.get(slot.folder / SHARDS, current.dvc_hash)
        texts = {slot.folder / DATASET_FILE: record_text(replace(record, dvc_hash=shards))}
        if golden:
            made = replace(golden, dvc_hash=hashes[slot.folder / GOLDEN])
            texts[slot.folder / GOLDEN_FILE] = record_text(made)
        return texts

    changed = [name for name, folder in found.items() if folder.leaving]
    tags = {tag: f"{record.clips} clips, {record.seconds / 60:.1f} minutes"}
    gone = len(found[SHARDS].dropped | found[GOLDEN].dropped)
    change = Change(
        slot=slot,
        arriving={path: slot.folder / name / path.name for name in changed for path in found[name].arriving},
        leaving=[slot.folder / name / path.name for name in changed for path in found[name].leaving],
        folders=[slot.folder / name for name in changed],
        describe=describe,
        # whose clips they were stays out of Git, which keeps every word for ever
        subject=f"Drop {gone} clips from {slot} (v{version})",
        tags=tags | ({golden.tag: f"{golden.clips} clips, {golden.digest}"} if golden else {}),
    )
    return change, golden.tag if golden else ""


def _pinned(workspace: Workspace, slot: Slot) -> str:
    """Tag of the golden set in force in the workspace, or empty."""
    path = workspace.root / slot.folder / GOLDEN_FILE
    return read_golden(path.read_text(encoding="utf-8")).tag if path.is_file() else ""


def _left(workspace: Workspace, slot: Slot, name: str, folder: _Folder) -> list[Path]:
    """Files of a folder as they will be."""
    return [path for path in files(workspace, slot, name) if path not in folder.leaving] + folder.arriving


def _checked(workspace: Workspace, slot: Slot, shards: _Folder, figures: Totals) -> dict[str, Any]:
    """The checks of any delivery, on the shards written anew and on the data as a whole."""
    policy, name = workspace.settings.for_slot(slot).data, "drop"
    if not figures.ids:
        raise DataRefused(str(slot), ["no clip would be left; add recordings of others first"])
    docs = docs_folder(workspace, slot)
    checked = check_clips(shards.arriving, slot, policy, name, docs)
    wrong = set_faults(
        slot,
        policy,
        delivered=len(figures.ids),
        quarantined=list(checked.faults.values()),
        conflicts=[],
        speakers=figures.speakers,
        shared=figures.shared,
        classes=figures.classes,
    )
    if wrong:
        raise DataRefused(str(slot), wrong)
    place = (docs / "index.html").relative_to(workspace.root).as_posix()
    return {**checked.summary, "delivery": name, "docs": place}


def _record(
    current: DatasetVersion,
    found: Mapping[str, _Folder],
    left: Mapping[str, list[Path]],
    figures: Totals,
    summary: Mapping[str, Any],
    golden: str,
) -> DatasetVersion:
    version, created = current.version + 1, now()
    gone = sorted(found[SHARDS].dropped | found[GOLDEN].dropped)
    entry = {
        "key": hashlib.sha256("\n".join(["drop", *gone]).encode()).hexdigest(),
        "name": f"drop-v{version}",
        "source": "(dropped)",
        "importer": "drop",
        "options": {},
        "delivered": 0,
        "clips": -len(found[SHARDS].dropped),
        "seconds": round(figures.seconds - current.seconds, 3),
        "quarantined": -len(found[QUARANTINE].dropped),
        "repeats": 0,
        "withdrawn": len(gone),
        "version": version,
        "created": created,
    }
    counts = {name: count - found[QUARANTINE].reasons.get(name, 0) for name, count in current.quarantine.items()}
    counts = {name: count for name, count in counts.items() if count > 0}
    return replace(
        current,
        version=version,
        tag=current.slot.tag(version),
        clips=len(figures.ids),
        seconds=round(figures.seconds, 3),
        speakers=figures.speakers,
        splits=dict(sorted(figures.splits.items())),
        split_seconds=figures.split_seconds,
        conditions=figures.conditions,
        classes=figures.classes if "label" in current.slot.kind.needs else {},
        quarantined=sum(counts.values()),
        quarantine=counts,
        golden=golden,
        created=created,
        closed_set=bool(figures.shared),
        shards=tuple(sorted(path.name for path in left[SHARDS])),
        deliveries=(*current.deliveries, entry),
        validation=summary,
        withdrawn=tuple(sorted({*current.withdrawn, *gone})),
    )
