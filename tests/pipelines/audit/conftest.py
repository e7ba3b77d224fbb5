"""A workspace with two slots, and the records of a server on which adapters were trained from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection

import pytest

from pipelines.audit.answers import index_of
from pipelines.settings import Slot
from pipelines.steps.dataset import load_split, version_at
from pipelines.steps.ingest import ingest
from pipelines.steps.versions import ids_digest
from pipelines.workspace import Workspace
from tests.support.proof import ring
from tests.support.records import Recorded, champions
from tests.support.workspaces import delivery, isolate, workspace_with_data

ASR, ASV = Slot("plant-a", "asr"), Slot("plant-b", "asv")


@dataclass(frozen=True)
class Ground:
    """What the questions are asked of."""

    workspace: Workspace
    records: Recorded

    def ids(self, slot: Slot, version: str, cache: Path) -> str:
        """Digest of the clips that training on a dataset version reads, as training itself reads them."""
        return used(self.workspace, slot, version, cache)


def used(workspace: Workspace, slot: Slot, version: str, cache: Path) -> str:
    clips = load_split(str(workspace.root), version, slot, ("train", "validation"), cache, "meta")
    return ids_digest(clip.id for clip in clips)


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """plant-a/asr: data v1 and v2, adapters v1 (was champion), v2 (champion) and v3; plant-b/asv: v1 (champion)."""
    folder = tmp_path_factory.mktemp("ground")
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        workspace = workspace_with_data(folder / "site", (ASR, ASV))
        ingest(workspace, ASR, delivery(folder / "more", (2,)))
        records = Recorded(ring(folder))
        for slot, version, day, data in ((ASR, 1, "02", 1), (ASR, 2, "04", 2), (ASR, 3, "06", 2), (ASV, 1, "05", 1)):
            tag = slot.tag(data)
            revision, ids = version_at(workspace, tag, slot).revision, used(workspace, slot, tag, folder / "cache")
            records.register(slot, version, day, tag, revision, ids)
            if version < 3:
                event, before = "promoted", version - 1 or None
                champions(records, slot, [(event, before, version, f"{int(day) + 1:02d}")])
    return Ground(workspace, records)


@pytest.fixture
def index(ground: Ground) -> Iterator[Connection]:
    """The index of it, up to date."""
    with index_of(ground.workspace, ground.records, lambda line: None) as db:
        yield db
