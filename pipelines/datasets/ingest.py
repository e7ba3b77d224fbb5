"""Take a delivery in: read, measure, check, quarantine, version. The same delivery twice makes one version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.datasets.checks import check_clips, require_good_set
from pipelines.datasets.dataset_version import GOLDEN, QUARANTINE, SHARDS, DatasetVersion, Delivery, utc_seconds
from pipelines.datasets.delivery import ClipFault, DeliveryContent, delivery_options, read_delivery
from pipelines.datasets.expectations import Validate, validation_process
from pipelines.datasets.golden_set import next_golden_ref, pinned_golden
from pipelines.datasets.importers import choose_importer
from pipelines.datasets.measuring import IntakeSettings
from pipelines.datasets.quarantine import count_reasons, read_quarantine, write_quarantine
from pipelines.datasets.slot_change import SlotChange, require_space, slot_transaction, store_change
from pipelines.datasets.slot_shards import (
    count_shards,
    next_dataset_version,
    only_split,
    restore_shards,
    slot_shards,
    without_clips,
)
from pipelines.datasets.staging import Progress, known_clips, stage_clips
from pipelines.datasets.versions import find_latest
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot


def add_delivery(
    workspace: Workspace,
    slot: Slot,
    source: Path,
    importer: str | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> DatasetVersion:
    """Take `source` into the slot as a new dataset version.

    Args:
        workspace: The workspace.
        slot: The slot.
        source: A manifest, a folder or an archive.
        importer: Name of its format; None finds it out.
        options: `noise`, `snr`, `condition` (see `pipelines.datasets.delivery`).
        progress: Called with clips done, clips in all, seconds of audio done.
        meanwhile: Called if the delivery is new: work for later, to be done while another process starts.

    Returns:
        The new version, or the newest one if the delivery contains nothing new.

    Raises:
        UsageError: A format or an option is unknown.
        IntakeError: The source cannot be read in its format.
        DataRefused: The data as a whole failed its checks.
        WorkspaceError: Git has no identity, the slot's folder has uncommitted changes, the disk is full, or another
            run does not end.
        VersioningError: Git or DVC failed; nothing was changed.
    """
    chosen, checked = choose_importer(source, importer), delivery_options(options or {})
    with slot_transaction(workspace, slot) as stage:
        current = find_latest(workspace, slot)
        policy = workspace.settings.for_slot(slot).data
        content = read_delivery(source, chosen, checked, policy, stage / "members")
        # not an error: a flow that runs again passes the same source
        if current and any(delivery.key == content.key for delivery in current.deliveries):
            return current
        # FLAC is smaller than most sources, but the workspace and DVC's cache may each need a copy
        require_space(workspace.root, 2 * content.size)
        restore_shards(workspace, slot, current)
        with validation_process() as validate:
            if meanwhile:
                meanwhile()
            change = _prepare(workspace, slot, current, content, stage, progress, validate)
        if current and not change.arriving[SHARDS] and not change.arriving[QUARANTINE]:
            return current
        stored = store_change(workspace, change).dataset
    assert stored is not None
    return stored


def _prepare(
    workspace: Workspace,
    slot: Slot,
    current: DatasetVersion | None,
    content: DeliveryContent,
    stage: Path,
    progress: Progress | None,
    validate: Validate,
) -> SlotChange:
    """Measure and check a delivery; nothing outside `stage` and the Data Docs is written."""
    present = slot_shards(workspace, slot, SHARDS)
    settings = IntakeSettings(workspace.settings.for_slot(slot).data, content.options, content.name)
    withdrawn = current.withdrawn if current else ()
    staged = stage_clips(content, settings, known_clips(present), stage / "parts", progress, frozenset(withdrawn))
    checked = check_clips(staged.parts, workspace, slot, content.name, validate)
    faults = staged.faults | {staged.indices[clip]: fault for clip, fault in checked.faults.items()}
    # a copy of a bad clip is bad for the same reason, whatever its words are
    faults |= {repeat.position: checked.faults[repeat.id] for repeat in staged.repeats if repeat.id in checked.faults}
    repeats = [repeat for repeat in staged.repeats if repeat.id not in checked.faults]
    shards = without_clips(staged.parts, checked.faults.keys(), stage / SHARDS)
    totals = count_shards([*present, *shards])
    require_good_set(
        workspace,
        slot,
        totals,
        delivered=len(content.clips),
        quarantined=[faults[index] for index in sorted(faults)],
        conflicts=[repeat.conflict for repeat in repeats if repeat.conflict],
    )
    quarantine = _write_faults(content, faults, slot_shards(workspace, slot, QUARANTINE), stage / QUARANTINE)
    pinned, number = pinned_golden(workspace, slot), current.version + 1 if current else 1
    test = [] if pinned else only_split([*present, *shards], "test", stage / GOLDEN)
    closed = bool(totals.shared)
    golden = next_golden_ref(workspace, slot, test, slot.tag(number), closed_set=closed) if test else None
    delivery = Delivery(
        key=content.key,
        name=content.name,
        source=content.source,
        importer=content.importer,
        options=asdict(content.options),
        delivered=len(content.clips),
        clips=len(staged.indices) - checked.summary.failed,
        seconds=round(staged.seconds, 3),
        quarantined=len(faults),
        repeats=len(repeats),
        version=number,
        created=utc_seconds(),
        withdrawn=staged.withdrawn,
    )
    version = next_dataset_version(
        slot,
        current,
        delivery,
        totals,
        shards=[*present, *shards],
        quarantine=dict(Counter(current.quarantine if current else {}) + Counter(count_reasons(faults.values()))),
        golden=golden.tag if golden else pinned,
        validation=checked.summary,
        withdrawn=withdrawn,
    )
    arriving = {SHARDS: shards, QUARANTINE: quarantine, GOLDEN: test}
    return SlotChange(slot, f"Add {delivery.clips} clips to {slot} (v{number})", version, golden, arriving)


def _write_faults(
    content: DeliveryContent, faults: Mapping[int, ClipFault], quarantine: Sequence[Path], folder: Path
) -> list[Path]:
    """Write the faulty clips that are not in quarantine for the same reason already."""
    known = {(clip.sha256, clip.path, clip.reason) for clip in read_quarantine(quarantine)}
    faulty = ((content.clips[index], faults[index]) for index in sorted(faults))
    new = [(clip, fault) for clip, fault in faulty if (clip.sha256, clip.path, fault.reason) not in known]
    return write_quarantine(new, content.name, folder)
