"""Drop a person's or a recording's clips from a slot: a new dataset version without them, and a golden set, too.

Shards stay immutable: those that held such clips give way to new ones. The ids of the clips are kept with the version,
so that no later delivery brings them back. Older versions keep what they had until their files are removed from the DVC
remote.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.datasets.checks import check_clips, set_faults
from pipelines.datasets.dataset_version import GOLDEN, QUARANTINE, SHARDS, DatasetVersion, GoldenRef
from pipelines.datasets.gather import Totals, keep, totals
from pipelines.datasets.golden_set import golden_record, golden_versions
from pipelines.datasets.next_version import dataset_record, number_after, pinned_golden, version_change
from pipelines.datasets.quarantine import without
from pipelines.datasets.slot_files import bring_back, files
from pipelines.datasets.subject import Subject
from pipelines.datasets.transaction import Change, disk_guard, exclusive, recover, staging, store
from pipelines.datasets.versions import golden_ref, latest, version_at
from pipelines.errors import DataRefused, UsageError
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot


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
    slot, version = current.slot, number_after(current)
    left = {name: _left(workspace, slot, name, folder) for name, folder in found.items()}
    figures = totals(left[SHARDS])
    summary = _checked(workspace, slot, found[SHARDS], figures)
    golden, pinned = None, pinned_golden(workspace, slot)
    if found[GOLDEN].leaving:
        if not left[GOLDEN]:
            raise DataRefused(str(slot), [f"no clip of {pinned} would be left; add test clips of others first"])
        number = golden_versions(workspace, slot) + 1
        golden = golden_record(slot, number, left[GOLDEN], slot.tag(version), closed_set=bool(figures.shared))
    gone = found[SHARDS].dropped | found[GOLDEN].dropped
    record = _record(current, found, gone, left[SHARDS], figures, summary, golden.tag if golden else pinned)
    change = version_change(
        record,
        golden,
        {name: folder.arriving for name, folder in found.items()},
        {name: folder.leaving for name, folder in found.items()},
        # whose clips they were stays out of Git, which keeps every word for ever
        f"Drop {len(gone)} clips from {slot} (v{version})",
    )
    return change, golden.tag if golden else ""


def _left(workspace: Workspace, slot: Slot, name: str, folder: _Folder) -> list[Path]:
    """Files of a folder as they will be."""
    return [path for path in files(workspace, slot, name) if path not in folder.leaving] + folder.arriving


def _checked(workspace: Workspace, slot: Slot, shards: _Folder, figures: Totals) -> Mapping[str, Any]:
    """The checks of any delivery, on the shards written anew and on the data as a whole."""
    if not figures.ids:
        raise DataRefused(str(slot), ["no clip would be left; add recordings of others first"])
    checked = check_clips(shards.arriving, workspace, slot, "drop")
    wrong = set_faults(
        slot,
        workspace.settings.for_slot(slot).data,
        delivered=len(figures.ids),
        quarantined=list(checked.faults.values()),
        conflicts=[],
        speakers=figures.speakers,
        shared=figures.shared,
        classes=figures.classes,
    )
    if wrong:
        raise DataRefused(str(slot), wrong)
    return checked.summary


def _record(
    current: DatasetVersion,
    found: Mapping[str, _Folder],
    gone: Set[str],
    shards: Sequence[Path],
    figures: Totals,
    summary: Mapping[str, Any],
    golden: str,
) -> DatasetVersion:
    entry = {
        "key": hashlib.sha256("\n".join(["drop", *sorted(gone)]).encode()).hexdigest(),
        "name": f"drop-v{number_after(current)}",
        "source": "(dropped)",
        "importer": "drop",
        "options": {},
        "delivered": 0,
        "clips": -len(found[SHARDS].dropped),
        "seconds": round(figures.seconds - current.seconds, 3),
        "quarantined": -len(found[QUARANTINE].dropped),
        "repeats": 0,
        "withdrawn": len(gone),
    }
    counts = {name: count - found[QUARANTINE].reasons.get(name, 0) for name, count in current.quarantine.items()}
    return dataset_record(
        current.slot,
        current,
        figures,
        entry,
        shards=shards,
        quarantine={name: count for name, count in counts.items() if count > 0},
        golden=golden,
        validation=summary,
        withdrawn=tuple({*current.withdrawn, *gone}),
    )
