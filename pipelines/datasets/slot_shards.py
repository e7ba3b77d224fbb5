"""The Parquet files of a slot: list, restore and rewrite them, and record what they hold as a version."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from elp_core.data.corpus import write_shard
from elp_core.fail_points import durable_write
from elp_core.languages import Units
from pipelines.datasets import dvc, file_cache
from pipelines.datasets.clip_words import words_of_shards
from pipelines.datasets.dataset_version import (
    GOLDEN,
    GOLDEN_FILE,
    QUARANTINE,
    SHARDS,
    DatasetVersion,
    Delivery,
    GoldenRef,
    PinnedTrials,
    TranscriptLanguage,
    parse_record,
    protocols,
    renormalised,
    utc_seconds,
)
from pipelines.datasets.name_warnings import count_doubtful
from pipelines.datasets.quarantine import QuarantinedClip, read_quarantine
from pipelines.datasets.remote_check import push_lost_files
from pipelines.datasets.shard_totals import ShardTotals, count_shards
from pipelines.datasets.validation_summary import ValidationSummary
from pipelines.datasets.versions import golden_ref, latest_number, version_at
from pipelines.errors import DataRefused, WorkspaceError
from pipelines.local.workspace import Workspace
from pipelines.registry.lineage import ids_digest
from pipelines.registry.slot import Slot


def slot_shards(workspace: Workspace, slot: Slot, folder: str) -> list[Path]:
    """Return the Parquet files in a folder of the slot, as absolute paths."""
    return sorted((workspace.root / slot.folder / folder).glob("*.parquet"))


def quarantined_clips(workspace: Workspace, slot: Slot) -> list[QuarantinedClip]:
    """Return every clip in the slot's quarantine, by path; the remote gives the files that are missing here."""
    if version_at(workspace, "latest", slot).quarantined and not slot_shards(workspace, slot, QUARANTINE):
        dvc.pull(workspace.root, slot.folder / QUARANTINE)
    found = read_quarantine(slot_shards(workspace, slot, QUARANTINE))
    return sorted(found, key=lambda clip: (clip.path, clip.reason))


def restore_shards(workspace: Workspace, slot: Slot, current: DatasetVersion | None, *, golden: bool = False) -> None:
    """Fetch the missing files of the slot's newest version: `dvc add` would drop what is not here.

    With `golden`, the golden set's folder is restored, too. Before that, files that the remote lost are pushed again.
    Raise WorkspaceError if the folder of shards holds a file that belongs to no version, VersioningError if a file is
    neither here nor on the remote.
    """
    if current is None:
        return
    root, here = workspace.root, {path.name for path in slot_shards(workspace, slot, SHARDS)}
    if unknown := sorted(here - set(current.shards)):
        raise WorkspaceError(
            f"{root / slot.folder / SHARDS} has files that belong to no version ({', '.join(unknown[:3])}); "
            "move them elsewhere and try again"
        )
    push_lost_files(workspace, slot)
    missing = {
        SHARDS: set(current.shards) - here,
        QUARANTINE: current.quarantined and not slot_shards(workspace, slot, QUARANTINE),
        GOLDEN: golden and (root / slot.folder / GOLDEN_FILE).is_file() and not slot_shards(workspace, slot, GOLDEN),
    }
    # one pull each, and only if it is needed: opening DVC takes longer than looking
    for name in missing:
        if missing[name]:
            dvc.pull(root, slot.folder / name)


def present_files(workspace: Workspace, current: DatasetVersion, name: str, cache: Path) -> list[Path]:
    """Return the files of a folder of the slot at its newest version; if some are missing, all come into `cache`."""
    slot = current.slot
    here, revision = slot_shards(workspace, slot, name), current.revision
    if name == SHARDS and {path.name for path in here} >= set(current.shards):
        return here
    if name == QUARANTINE and (here or not current.quarantined):
        return here
    if name == GOLDEN:
        if here or not pinned_golden(workspace, slot):
            return here
        revision = golden_ref(workspace, "latest", slot).revision
    return file_cache.fetch_folder(str(workspace.root), revision, slot.folder / name, cache)


def without_clips(shards: Sequence[Path], dropped: Collection[str], folder: Path) -> list[Path]:
    """Return new shards in `folder` without the clips `dropped` (ids).

    A shard that loses nothing is moved there as it is, so it must be on the disk of `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for shard in shards:
        ids = pq.read_table(shard, columns=["id"])["id"].to_pylist()
        if not any(clip in dropped for clip in ids):
            with durable_write("move of shard"):
                written.append(shard.rename(folder / shard.name))
        elif rows := [row for row in pq.read_table(shard).to_pylist() if row["id"] not in dropped]:
            written.append(write_shard(rows, folder))
    return written


def clip_sounds(shards: Iterable[Path], ids: Collection[str]) -> dict[str, bytes]:
    """Return the FLAC bytes of the clips `ids`, by id, from the shards that are still there."""
    sounds: dict[str, bytes] = {}
    for shard in shards if ids else ():
        if shard.is_file():
            table = pq.read_table(shard, columns=["id", "audio"], filters=[("id", "in", sorted(ids))])
            sounds |= {row["id"]: row["audio"]["bytes"] for row in table.to_pylist()}
    return sounds


def only_split(shards: Iterable[Path], split: str, folder: Path) -> list[Path]:
    """Return new shards in `folder` with the clips of one split."""
    tables = (pq.read_table(shard, filters=[("split", "=", split)]) for shard in shards)
    return [write_shard(table.to_pylist(), folder) for table in tables if table.num_rows]


def next_records(
    workspace: Workspace,
    slot: Slot,
    current: DatasetVersion | None,
    delivery: Delivery,
    totals: ShardTotals,
    *,
    golden: Sequence[Path],
    trials: PinnedTrials | None = None,
    quarantine: Mapping[str, int],
    validation: ValidationSummary,
    withdrawn: Iterable[str],
    corrected: Mapping[str, tuple[str, ...]],
    language: TranscriptLanguage,
    units: Units | None,
) -> tuple[DatasetVersion, GoldenRef | None]:
    """Return the records of the version after `current` and of its new golden set, as they are before they are stored.

    `delivery` carries the new version's number and time; `totals` counts all its shards; `golden` are the shards of a
    new golden set (none keep the one in force), `trials` its list of trials; `quarantine` counts all files in
    quarantine by reason; `withdrawn` are the ids of all clips that stay out for good; `corrected` has the digests of
    the words that corrected clips had; `units` None stands for the default units.
    """
    tag, closed, out = slot.tag(delivery.version), bool(totals.shared), frozenset(withdrawn)
    deliveries = (*(current.deliveries if current else ()), delivery)
    ref = None
    if golden:
        of_set = workspace, slot, golden, tag, deliveries, trials
        ref = next_golden_ref(*of_set, closed_set=closed, language=language, corrected=corrected)
    version = DatasetVersion(
        slot=slot,
        version=delivery.version,
        tag=tag,
        # quarantine alone may have changed: `store_change` then keeps the hash of the shards
        dvc_hash=current.dvc_hash if current else "",
        clips=len(totals.ids),
        seconds=round(totals.seconds, 3),
        speakers=totals.speakers,
        splits=totals.splits,
        split_seconds=totals.split_seconds,
        conditions=totals.conditions,
        groups=totals.groups,
        classes=totals.classes if "label" in slot.task_spec.needs else {},
        quarantined=sum(quarantine.values()),
        quarantine=dict(sorted(quarantine.items())),
        golden=ref.tag if ref else pinned_golden(workspace, slot),
        created=delivery.created,
        closed_set=closed,
        shards=totals.shards,
        deliveries=deliveries,
        validation=validation,
        withdrawn=tuple(sorted(out)),
        # a dropped clip never comes back, so its words are not needed
        corrected={clip: digests for clip, digests in sorted(corrected.items()) if clip not in out},
        language=language,
        units=units.to_json() if units else {},
        doubtful_names=count_doubtful(totals.names),
        teachers=totals.teachers,
        taught_clips=totals.taught_clips,
        taught_seconds=totals.taught_seconds,
    )
    return version, ref


def pinned_golden(workspace: Workspace, slot: Slot) -> str:
    """Return the tag of the golden set in force in the workspace, or an empty text."""
    # not from the newest dataset version: a golden set can be pinned after it
    path = workspace.root / slot.folder / GOLDEN_FILE
    return parse_record(GoldenRef, path.read_text(encoding="utf-8")).tag if path.is_file() else ""


def next_golden_ref(
    workspace: Workspace,
    slot: Slot,
    shards: Sequence[Path],
    source_tag: str,
    deliveries: Sequence[Delivery],
    trials: PinnedTrials | None = None,
    *,
    closed_set: bool,
    language: TranscriptLanguage,
    corrected: Collection[str] = (),
) -> GoldenRef:
    """Return the record of a new golden set with the clips in `shards`; its DVC hash is empty until it is stored.

    `deliveries` are those of its dataset version, `corrected` the ids of all corrected clips of the slot.
    """
    totals = count_shards(shards)
    if totals.teachers:
        # a verdict on it would measure agreement with another model
        raise DataRefused(str(slot), [f"{totals.taught_clips} of its clips have pseudo-labels"], "the golden set")
    number = latest_number(workspace.root, slot, "golden") + 1
    worded = renormalised(deliveries) or not frozenset(corrected).isdisjoint(totals.ids)
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
        words=words_of_shards(shards) if worded else "",
        language=language,
        protocol=protocols(deliveries),
        trials=trials,
    )
