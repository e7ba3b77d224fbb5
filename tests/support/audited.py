"""A workspace with two slots, and the records of a server on which adapters were trained from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.versions import load_split, version_at
from pipelines.local.workspace import Workspace
from pipelines.registry.lineage import ids_digest
from pipelines.registry.slot import Slot
from tests.support.proof import ring
from tests.support.records import Recorded, champions
from tests.support.workspaces import delivery, workspace_with_data

ASR, ASV = Slot("plant-a", "asr"), Slot("plant-b", "asv")
_ADAPTERS = ((ASR, 1, "02", 1), (ASR, 2, "04", 2), (ASR, 3, "06", 2), (ASV, 1, "05", 1))
"""Slot, version, day of January, dataset version."""


@dataclass(frozen=True)
class Ground:
    """What the audit's questions are asked of."""

    workspace: Workspace
    records: Recorded


def make_ground(folder: Path) -> Ground:
    """plant-a/asr: data v1 and v2, adapters v1 (was champion), v2 (champion) and v3; plant-b/asv: v1 (champion)."""
    workspace = workspace_with_data(folder / "site", (ASR, ASV))
    add_delivery(workspace, ASR, delivery(folder / "more", (2,)))
    records = Recorded(ring(folder))
    for slot, version, day, data in _ADAPTERS:
        tag = slot.tag(data)
        revision, ids = version_at(workspace, tag, slot).revision, used(workspace, slot, tag, folder / "cache")
        records.register(slot, version, day, tag, revision, ids)
        if version < 3:
            champions(records, slot, [("promoted", version - 1 or None, version, f"{int(day) + 1:02d}")])
    return Ground(workspace, records)


def used(workspace: Workspace, slot: Slot, version: str, cache: Path) -> str:
    """Digest of the clips that training on a dataset version reads, as training itself reads them."""
    clips = load_split(str(workspace.root), version, slot, ("train", "validation"), cache, "meta")
    return ids_digest(clip.id for clip in clips)
