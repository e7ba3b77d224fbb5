"""Golden sets: a slot's pinned evaluation data, made once from the first test clips and changed only on request."""

from pipelines.datasets import dvc
from pipelines.datasets.dataset_version import GOLDEN, SHARDS, GoldenRef
from pipelines.datasets.slot_change import SlotChange, require_space, slot_transaction, store_change
from pipelines.datasets.slot_shards import next_golden_ref, only_split, slot_shards
from pipelines.datasets.versions import golden_ref, version_at
from pipelines.errors import DataRefused
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot


def pin_golden(workspace: Workspace, slot: Slot, source_tag: str) -> GoldenRef:
    """Make the test split of a dataset version the slot's golden set, as a new version of it.

    The version is named as in `version_at`. If the golden set in force holds the same clips already, it is returned.
    Raise DataRefused if that version has no test clip.
    """
    root = workspace.root
    with slot_transaction(workspace, slot) as stage:
        source = version_at(workspace, source_tag, slot)
        fetched = dvc.fetch_folder(str(root), source.revision, slot.folder / SHARDS, workspace.state / "cache")
        require_space(root, sum(path.stat().st_size for path in fetched))
        chosen = only_split(fetched, "test", stage / GOLDEN)
        if not chosen:
            raise DataRefused(str(slot), [f"{source.tag} has no test clip to make a golden set of"])
        closed, language = source.closed_set, source.language
        golden = next_golden_ref(
            workspace, slot, chosen, source.tag, closed_set=closed, language=language, corrected=source.corrected
        )
        if golden.version > 1:
            pinned = golden_ref(workspace, "latest", slot)
            if (pinned.digest, pinned.words, pinned.language) == (golden.digest, golden.words, language):
                return pinned
        names = {path.name for path in chosen}
        leaving = [path for path in slot_shards(workspace, slot, GOLDEN) if path.name not in names]
        subject = f"Pin the golden set of {slot} from {source.tag} (v{golden.version}, {golden.clips} clips)"
        change = SlotChange(slot, subject, golden=golden, arriving={GOLDEN: chosen}, leaving={GOLDEN: leaving})
        stored = store_change(workspace, change).golden
    assert stored is not None
    return stored
