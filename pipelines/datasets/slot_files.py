"""A slot's own files in the workspace: which there are, and bringing back those that a fresh clone lacks."""

from __future__ import annotations

from pathlib import Path

from pipelines.datasets import dvc
from pipelines.datasets.dataset_version import GOLDEN, GOLDEN_FILE, QUARANTINE, SHARDS, DatasetVersion
from pipelines.datasets.quarantine import Quarantined, read_quarantine
from pipelines.datasets.versions import latest
from pipelines.errors import WorkspaceError
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot


def files(workspace: Workspace, slot: Slot, folder: str) -> list[Path]:
    """Parquet files of a folder of the slot, absolute."""
    return sorted((workspace.root / slot.folder / folder).glob("*.parquet"))


def quarantined(workspace: Workspace, slot: Slot) -> list[Quarantined]:
    """Every clip in the slot's quarantine, by path; fetched from the remote where the folder is not here.

    Raises:
        VersioningError: where there is no version yet, or the remote does not give what is missing.
    """
    if latest(workspace, slot).quarantined and not files(workspace, slot, QUARANTINE):
        dvc.pull(workspace.root, slot.folder / QUARANTINE)
    return sorted(read_quarantine(files(workspace, slot, QUARANTINE)), key=lambda one: (one.path, one.reason))


def bring_back(workspace: Workspace, slot: Slot, current: DatasetVersion | None, *, golden: bool = False) -> None:
    """Make the slot's folders whole: `dvc add` would drop what is not here.

    Args:
        workspace: the workspace.
        slot: the slot.
        current: its newest version; without one there is nothing to bring back.
        golden: the golden set's folder, too.

    Raises:
        WorkspaceError: where the folder of shards holds a file that no version knows.
        VersioningError: where the remote does not give what is missing.
    """
    if current is None:
        return
    root, here = workspace.root, {path.name for path in files(workspace, slot, SHARDS)}
    if strangers := sorted(here - set(current.shards)):
        raise WorkspaceError(
            f"{root / slot.folder / SHARDS} has files that no version knows ({', '.join(strangers[:3])}); remove them"
        )
    if set(current.shards) - here:
        dvc.pull(root, slot.folder / SHARDS)
    if current.quarantined and not files(workspace, slot, QUARANTINE):
        dvc.pull(root, slot.folder / QUARANTINE)
    if golden and (root / slot.folder / GOLDEN_FILE).is_file() and not files(workspace, slot, GOLDEN):
        dvc.pull(root, slot.folder / GOLDEN)
