"""Take a delivery in: read, measure, check, quarantine, version. The same delivery twice makes one version."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.chunk_map import ChunkMap
from pipelines.datasets.aligned_delivery import Aligner, align_delivery, require_not_aligned, with_aligner
from pipelines.datasets.dataset_version import GOLDEN, QUARANTINE, SHARDS, DatasetVersion, Delivery, utc_seconds
from pipelines.datasets.delivery import DeliveryOptions, Importer, delivery_options
from pipelines.datasets.expectations import validation_process
from pipelines.datasets.golden_trials import apply_list, judges_pairs
from pipelines.datasets.importers import choose_importer
from pipelines.datasets.judged_delivery import JudgedDelivery, judge_delivery, read_for_slot
from pipelines.datasets.measuring import IntakeSettings
from pipelines.datasets.quarantine import count_reasons, not_held, read_quarantine, write_quarantine
from pipelines.datasets.refused_delivery import forget_refused, keep_refused
from pipelines.datasets.shared_branch import on_newest_state
from pipelines.datasets.slot_change import SlotChange, require_space, slot_transaction, store_change
from pipelines.datasets.slot_language import added_units, declared_language, next_units
from pipelines.datasets.slot_shards import (
    next_records,
    only_split,
    pinned_golden,
    restore_shards,
    slot_shards,
)
from pipelines.datasets.staging import Progress
from pipelines.datasets.versions import find_latest
from pipelines.errors import DataRefused
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot

_log = logging.getLogger(__name__)


def add_delivery(
    workspace: Workspace,
    slot: Slot,
    source: Path,
    importer: str | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    meanwhile: Callable[[], None] | None = None,
    aligner: Aligner | None = None,
    chunk_map: ChunkMap | None = None,
) -> DatasetVersion:
    """Take a manifest, a folder or an archive into the slot; return the new version, or the newest if nothing is new.

    Options are those of `delivery_options`. `progress` is called with clips done, clips in all and seconds of audio
    done; `meanwhile` once, if the delivery is new, while another process starts: it can do work for later. With an
    `aligner`, long recordings that have one transcript are cut into clips (`align_delivery`). A `chunk_map`
    measures the clips of a large delivery instead of the processes of this machine, to the same bytes.

    Raise UsageError for an unknown format or option, IntakeError if the source cannot be read in its format,
    DataRefused if the data as a whole failed its checks, WorkspaceError if the workspace cannot be changed now,
    VersioningError if Git or DVC failed. Nothing was changed then.
    """
    checked = delivery_options(options or {})
    chosen = choose_importer(source, importer, checked.format_options)
    return add_from_importer(workspace, slot, source, chosen, checked, progress, meanwhile, aligner, chunk_map)


@on_newest_state
def add_from_importer(
    workspace: Workspace,
    slot: Slot,
    source: Path,
    chosen: Importer,
    checked: DeliveryOptions,
    progress: Progress | None = None,
    meanwhile: Callable[[], None] | None = None,
    aligner: Aligner | None = None,
    chunk_map: ChunkMap | None = None,
) -> DatasetVersion:
    """Take a source into the slot as `add_delivery` does, with an importer and options that were checked before."""
    with slot_transaction(workspace, slot) as stage:
        current = find_latest(workspace, slot)
        content = read_for_slot(workspace, slot, current, source, chosen, checked, stage / "members")
        if aligner:
            content = with_aligner(content, aligner)
        # not an error: a flow that runs again passes the same source
        if current and content.known(current.delivery_keys):
            return current
        # FLAC is smaller than most sources, but the workspace and DVC's cache may each need a copy
        require_space(workspace.root, 2 * content.kept)
        restore_shards(workspace, slot, current)
        present, own = slot_shards(workspace, slot, SHARDS), workspace.settings.for_slot(slot)
        if aligner:
            settings = IntakeSettings(own.data, content.options, content.name, own.language)
            content = align_delivery(content, aligner, current, present, settings)
        else:
            require_not_aligned(content, own.language, current)
        with validation_process() as validate:
            if meanwhile:
                meanwhile()
            judged = judge_delivery(
                workspace, slot, current, content, present, stage, validate, progress, chunk_map=chunk_map
            )
        if judged.refused:
            keep_refused(workspace, slot, content.source, judged.refused, judged.quarantined())
            raise DataRefused(str(slot), judged.refused)
        if judged.ungrouped:
            _log.warning("%s", judged.ungrouped)
        change = _change(workspace, slot, current, judged, present, stage)
        if current and not change.arriving[SHARDS] and not change.arriving[QUARANTINE]:
            return current
        stored = store_change(workspace, change).dataset
        forget_refused(workspace, slot)
    assert stored is not None
    return stored


def _change(
    workspace: Workspace,
    slot: Slot,
    current: DatasetVersion | None,
    judged: JudgedDelivery,
    present: Sequence[Path],
    stage: Path,
) -> SlotChange:
    """Return the change that stores a good delivery; its new files are in `stage`."""
    content, staged, faults, repeats = judged.content, judged.staged, judged.faults, judged.repeats
    test = [] if pinned_golden(workspace, slot) else only_split([*present, *judged.shards], "test", stage / GOLDEN)
    copies = {content.clips[repeat.position].path: repeat.id for repeat in repeats}
    listed = apply_list(content.trials, test, copies) if content.trials and test and judges_pairs(slot) else None
    units = next_units(slot, judged.language, current, judged.stored.files, judged.shards)
    held = [*read_quarantine(slot_shards(workspace, slot, QUARANTINE))]
    new = not_held(judged.quarantined(), held)
    delivery = Delivery(
        key=content.key,
        name=content.name,
        source=content.source,
        importer=content.importer,
        options=content.options.to_dict(),
        delivered=len(content.clips),
        clips=judged.new,
        seconds=round(staged.seconds, 3),
        quarantined=len(faults),
        repeats=len(repeats),
        version=current.version + 1 if current else 1,
        created=utc_seconds(),
        withdrawn=staged.withdrawn,
        protocol=content.protocol,
        new_units=added_units(current, units),
        untagged=content.untagged,
        filled=judged.moved,
        alignment=judged.alignment,
        teacher=next((clip.teacher for clip in content.clips if clip.teacher), ""),
        relabelled=len(staged.relabelled - judged.bad.keys()),
        new_groups=judged.new_groups,
    )
    version, golden = next_records(
        workspace,
        slot,
        current,
        delivery,
        judged.totals,
        golden=test,
        trials=listed.record if listed else None,
        # what the files hold: a clip that is delivered again for the same reason is in them once
        quarantine=count_reasons([*held, *(fault for _, fault in new)]),
        validation=judged.checked.summary,
        withdrawn=current.withdrawn if current else (),
        corrected=current.corrected if current else {},
        language=declared_language(slot, judged.language),
        units=units,
    )
    arriving = {
        SHARDS: [*judged.shards, *judged.stored.arriving],
        QUARANTINE: write_quarantine(new, content.name, stage / QUARANTINE),
        GOLDEN: test,
    }
    subject, trials = f"Add {count(delivery.clips, 'clip')} to {slot} ({version.name})", listed.text if listed else ""
    return SlotChange(slot, subject, version, golden, arriving, {SHARDS: judged.stored.leaving}, trials)
