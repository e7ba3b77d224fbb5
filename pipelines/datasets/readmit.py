"""Readmit a dropped clip: a new version that lists it as withdrawn no more, so that the next delivery may bring it."""

from pipelines.datasets.dataset_version import READMIT, SHARDS, DatasetVersion
from pipelines.datasets.own_change import record_change
from pipelines.datasets.shard_totals import count_shards
from pipelines.datasets.shared_branch import on_newest_state
from pipelines.datasets.slot_change import SlotChange, slot_transaction, store_change
from pipelines.datasets.slot_language import pinned_units
from pipelines.datasets.slot_shards import next_records, restore_shards, slot_shards
from pipelines.datasets.subject import Subject
from pipelines.datasets.versions import version_at
from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot


@on_newest_state
def readmit_clip(workspace: Workspace, slot: Slot, subject: Subject) -> DatasetVersion:
    """Make a new version of the slot's data that lets one dropped clip in again; its data is the same.

    The clip itself comes with the next delivery that has it, one that was taken in before, too. Raise UsageError if
    no dropped clip has this id; other errors are those of `drop_clips`.
    """
    with slot_transaction(workspace, slot):
        current = version_at(workspace, "latest", slot)
        found = [clip for clip in current.withdrawn if subject.clip and clip.startswith(subject.clip)]
        if len(found) != 1:
            raise UsageError(
                f"the id {subject.clip} is that of {count(len(found), 'dropped clip')} of {slot}, expected 1; "
                f"{current.tag} lists {len(current.withdrawn)} in {slot.folder}/dataset.json (withdrawn)"
            )
        restore_shards(workspace, slot, current)
        number = current.version + 1
        delivery = record_change(READMIT, "(readmitted)", number, [f"{READMIT} {number} {found[0]}"])
        version, _ = next_records(
            workspace,
            slot,
            current,
            delivery,
            count_shards(slot_shards(workspace, slot, SHARDS)),
            golden=[],
            quarantine=current.quarantine,
            validation=current.validation,
            withdrawn={*current.withdrawn} - {*found},
            corrected=current.corrected,
            language=current.language,
            units=pinned_units(current),
        )
        stored = store_change(workspace, SlotChange(slot, f"Readmit a clip of {slot} (v{number})", version)).dataset
    assert stored is not None
    return stored
