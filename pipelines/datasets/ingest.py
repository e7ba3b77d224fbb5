"""Take a delivery in: read, measure, check, quarantine, version. The same delivery twice makes one version."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines.datasets.checks import check_clips, conflicts_of, judged_clips, require_good_set
from pipelines.datasets.dataset_version import GOLDEN, QUARANTINE, SHARDS, DatasetVersion, Delivery, utc_seconds
from pipelines.datasets.delivery import DeliveryContent, delivery_options, read_delivery
from pipelines.datasets.expectations import Validate, validation_process
from pipelines.datasets.golden_trials import apply_list, judges_pairs
from pipelines.datasets.importers import choose_importer
from pipelines.datasets.measuring import IntakeSettings
from pipelines.datasets.quarantine import (
    count_reasons,
    not_held,
    read_quarantine,
    with_own_sound,
    write_quarantine,
)
from pipelines.datasets.slot_change import SlotChange, require_space, slot_transaction, store_change
from pipelines.datasets.slot_language import (
    added_units,
    declared_language,
    next_units,
    rare_letters,
    require_same_language,
)
from pipelines.datasets.slot_shards import (
    clip_sounds,
    count_shards,
    next_records,
    only_split,
    pinned_golden,
    restore_shards,
    slot_shards,
    without_clips,
)
from pipelines.datasets.staging import Progress, stage_clips
from pipelines.datasets.transcripts import apply_transcript_rules
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
    """Take a manifest, a folder or an archive into the slot; return the new version, or the newest if nothing is new.

    Options are those of `delivery_options`. `progress` is called with clips done, clips in all and seconds of audio
    done; `meanwhile` once, if the delivery is new, while another process starts: it can do work for later.

    Raise UsageError for an unknown format or option, IntakeError if the source cannot be read in its format,
    DataRefused if the data as a whole failed its checks, WorkspaceError if the workspace cannot be changed now,
    VersioningError if Git or DVC failed. Nothing was changed then.
    """
    checked = delivery_options(options or {})
    chosen = choose_importer(source, importer, checked.format_options)
    with slot_transaction(workspace, slot) as stage:
        current = find_latest(workspace, slot)
        settings = workspace.settings.for_slot(slot)
        if current:
            require_same_language(current, settings.language)
        content = read_delivery(source, chosen, checked, settings.data, stage / "members", settings.language)
        content = apply_transcript_rules(content, slot, settings.data.tags, settings.language.code)
        # not an error: a flow that runs again passes the same source
        if current and content.known(current.delivery_keys):
            return current
        # FLAC is smaller than most sources, but the workspace and DVC's cache may each need a copy
        require_space(workspace.root, 2 * content.kept)
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
    present, delivered = slot_shards(workspace, slot, SHARDS), len(content.clips)
    language = workspace.settings.for_slot(slot).language
    settings = IntakeSettings(workspace.settings.for_slot(slot).data, content.options, content.name, language)
    withdrawn, corrected = frozenset(current.withdrawn if current else ()), current.corrected if current else {}
    staged = stage_clips(content, settings, present, stage / "parts", progress, withdrawn, corrected)
    rare = rare_letters(language, current, present, staged.parts)
    checked = check_clips(staged.parts, workspace, slot, content.name, validate, rare=rare)
    faults, repeats = judged_clips(staged, checked)
    shards = without_clips(staged.parts, checked.faults.keys(), stage / SHARDS)
    totals = count_shards([*present, *shards])
    conflicts = conflicts_of(slot, repeats)
    require_good_set(workspace, slot, totals, delivered=delivered, quarantined=[*faults.values()], conflicts=conflicts)
    test = [] if pinned_golden(workspace, slot) else only_split([*present, *shards], "test", stage / GOLDEN)
    copies = {content.clips[repeat.position].path: repeat.id for repeat in repeats}
    listed = apply_list(content.trials, test, copies) if content.trials and test and judges_pairs(slot) else None
    units = next_units(slot, language, current, present, shards)
    delivery = Delivery(
        key=content.key,
        name=content.name,
        source=content.source,
        importer=content.importer,
        options=content.options.to_dict(),
        delivered=delivered,
        clips=len(staged.indices) - checked.summary.failed,
        seconds=round(staged.seconds, 3),
        quarantined=len(faults),
        repeats=len(repeats),
        version=current.version + 1 if current else 1,
        created=utc_seconds(),
        withdrawn=staged.withdrawn,
        protocol=content.protocol,
        new_units=added_units(current, units),
        untagged=content.untagged,
    )
    version, golden = next_records(
        workspace,
        slot,
        current,
        delivery,
        totals,
        golden=test,
        trials=listed.record if listed else None,
        quarantine=Counter(current.quarantine if current else {}) + Counter(count_reasons(faults.values())),
        validation=checked.summary,
        withdrawn=withdrawn,
        corrected=corrected,
        language=declared_language(slot, language),
        units=units,
    )
    # the id of each clip that was measured: a copy of a bad clip is bad for the same reason
    ids = {staged.indices[clip]: clip for clip in checked.faults} | {one.position: one.id for one in staged.repeats}
    parts = {ids[index] for index in faults if index in ids and not content.clips[index].whole}
    sounds = clip_sounds(staged.parts, parts)
    faulty = (
        with_own_sound(content.clips[index], fault, sounds.get(ids.get(index, ""))) for index, fault in faults.items()
    )
    new = not_held(faulty, read_quarantine(slot_shards(workspace, slot, QUARANTINE)))
    arriving = {SHARDS: shards, QUARANTINE: write_quarantine(new, content.name, stage / QUARANTINE), GOLDEN: test}
    subject, trials = f"Add {delivery.clips} clips to {slot} ({version.name})", listed.text if listed else ""
    return SlotChange(slot, subject, version, golden, arriving, trials=trials)
