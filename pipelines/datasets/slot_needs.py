"""What a person should know of a slot's newest data: what it lacks for a training and a verdict, and doubtful names."""

from pipelines.datasets.dataset_version import GOLDEN_FILE, SHARDS, DatasetVersion, GoldenRef, parse_record
from pipelines.datasets.name_warnings import name_warnings
from pipelines.datasets.readiness import SplitContent, golden_needs, remedy, split_contents, training_needs
from pipelines.datasets.shard_totals import ShardTotals, count_shards
from pipelines.datasets.slot_shards import slot_shards
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot


def doubtful_names(workspace: Workspace, version: DatasetVersion) -> list[str]:
    """Return the warnings about names of the newest version, with the names; they are read only if there are any."""
    return (
        name_warnings(count_shards(slot_shards(workspace, version.slot, SHARDS)).names)
        if version.doubtful_names
        else []
    )


def version_needs(workspace: Workspace, version: DatasetVersion) -> list[str]:
    """Return what the newest version of a slot lacks, as `slot_needs` does; nothing if its files are not all here."""
    here = slot_shards(workspace, version.slot, SHARDS)
    complete = {path.name for path in here} == set(version.shards)
    return slot_needs(workspace, version.slot, count_shards(here)) if complete else []


def slot_needs(workspace: Workspace, slot: Slot, totals: ShardTotals) -> list[str]:
    """Return what is missing, as sentences, the remedy last; an empty list means that the slot can be trained.

    `totals` counts all the slot's data.
    """
    found = split_contents(totals.splits, totals.split_speakers, totals.classes)
    train, validation, test = (found.get(name, SplitContent()) for name in ("train", "validation", "test"))
    policy = workspace.settings.for_slot(slot).data
    golden = _golden_content(workspace, slot) or test
    faults = [*training_needs(slot, train, validation), *golden_needs(slot, golden, closed_set=policy.closed_set)]
    if not faults:
        return []
    nameless = totals.names["speaker"].get("", 0)
    return [*faults, remedy(slot, totals.speakers, nameless, by_clip=policy.split_by == "clip")]


def _golden_content(workspace: Workspace, slot: Slot) -> SplitContent | None:
    """Return the content of the golden set in force; None before the first."""
    path = workspace.root / slot.folder / GOLDEN_FILE
    if not path.is_file():
        return None
    pinned = parse_record(GoldenRef, path.read_text(encoding="utf-8"))
    return SplitContent(pinned.clips, pinned.speakers)
