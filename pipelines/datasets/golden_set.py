"""Golden sets: a slot's pinned evaluation data, made once from the first test clips and changed only on request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.datasets import dvc
from pipelines.datasets.dataset_version import GOLDEN, GOLDEN_FILE, SHARDS, GoldenRef, parse_record, utc_seconds
from pipelines.datasets.slot_change import SlotChange, require_space, slot_transaction, store_change
from pipelines.datasets.slot_shards import count_shards, only_split, slot_shards
from pipelines.datasets.versions import golden_ref, latest_number, version_at
from pipelines.errors import DataRefused
from pipelines.local.workspace import Workspace
from pipelines.registry.lineage import ids_digest
from pipelines.registry.slot import Slot


def pin_golden(workspace: Workspace, slot: Slot, source_tag: str) -> GoldenRef:
    """Make the test split of a dataset version the slot's golden set, as a new version of it.

    Args:
        workspace: The workspace.
        slot: The slot.
        source_tag: A dataset version (``v3``, its tag, ``latest``) or any Git revision.

    Returns:
        The new golden set, or the one in force if it holds the same clips already.

    Raises:
        DataRefused: That version has no test clip.
        VersioningError: That version does not exist.
        WorkspaceError: The workspace cannot be changed now; the message says why.
    """
    root = workspace.root
    with slot_transaction(workspace, slot) as stage:
        source = version_at(workspace, source_tag, slot)
        fetched = dvc.fetch_folder(str(root), source.revision, slot.folder / SHARDS, workspace.state / "cache")
        require_space(root, sum(path.stat().st_size for path in fetched))
        chosen = only_split(fetched, "test", stage / GOLDEN)
        if not chosen:
            raise DataRefused(str(slot), [f"{source.tag} has no test clip to make a golden set of"])
        golden = next_golden_ref(workspace, slot, chosen, source.tag, closed_set=source.closed_set)
        if golden.version > 1:
            pinned = golden_ref(workspace, "latest", slot)
            if pinned.digest == golden.digest:
                return pinned
        names = {path.name for path in chosen}
        leaving = [path for path in slot_shards(workspace, slot, GOLDEN) if path.name not in names]
        subject = f"Pin the golden set of {slot} from {source.tag} (v{golden.version}, {golden.clips} clips)"
        change = SlotChange(slot, subject, golden=golden, arriving={GOLDEN: chosen}, leaving={GOLDEN: leaving})
        stored = store_change(workspace, change).golden
    assert stored is not None
    return stored


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
