"""Normalise the stored transcripts of a slot again, by the language that `elp.yaml` declares now: a new version.

A change that cannot be made from the stored transcripts is refused (`present_form`). Clips that the present rule does
not allow go to quarantine with their sound, and only if they may. The golden set changes only if it is asked for.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from elp_core.groups import GROUP
from elp_core.languages import LanguageConfig, Units
from pipelines.datasets.checks import check_clips, require_good_set
from pipelines.datasets.clip_rules import transcript_reasons
from pipelines.datasets.dataset_version import (
    GOLDEN,
    QUARANTINE,
    RENORMALISE,
    SHARDS,
    DatasetVersion,
    GoldenRef,
    TranscriptLanguage,
)
from pipelines.datasets.delivery import ClipFault, SourceClip
from pipelines.datasets.expectations import validate_rows
from pipelines.datasets.own_change import record_change
from pipelines.datasets.present_form import RenormalisedClip, in_present_form, require_possible
from pipelines.datasets.quarantine import count_reasons, read_quarantine, write_quarantine
from pipelines.datasets.shard_rewriting import rewrite_folder
from pipelines.datasets.shard_totals import count_shards
from pipelines.datasets.shared_branch import on_newest_state
from pipelines.datasets.slot_change import SlotChange, require_space, slot_transaction, store_change
from pipelines.datasets.slot_language import (
    declared_language,
    kind_of_units,
    new_units,
    pinned_units,
    rare_letters,
)
from pipelines.datasets.slot_shards import next_records, pinned_golden, present_files, restore_shards, slot_shards
from pipelines.datasets.validation_summary import ValidationSummary
from pipelines.datasets.versions import version_at
from pipelines.errors import DataRefused, UsageError
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot

_STEP = "the new normal form"
Shards = Mapping[str, Sequence[Path]]
"""Files by the name of their folder in the slot."""


@dataclass(frozen=True)
class Renormalised:
    """What the present rule changes, or would change."""

    dataset: DatasetVersion
    """The new version; the newest one if nothing changes, or nothing was stored."""
    before: TranscriptLanguage
    after: TranscriptLanguage
    clips: tuple[RenormalisedClip, ...]
    """Clips with another transcript, and those that go to quarantine; by path."""
    units: tuple[int, int]
    """Number of units before and after."""
    golden_clips: int
    """Of these clips, those in the golden set in force."""
    golden: GoldenRef | None = None
    """The new golden set, if one was asked for."""
    stored: bool = False
    """Whether a version was made."""

    @property
    def quarantined(self) -> tuple[RenormalisedClip, ...]:
        """Return the clips that go to quarantine."""
        return tuple(clip for clip in self.clips if clip.fault)


@dataclass(frozen=True)
class _Options:
    golden: bool
    quarantine: bool
    stage: Path
    docs: Path | None = None
    dry_run: bool = False


@on_newest_state
def renormalise(workspace: Workspace, slot: Slot, *, golden: bool = False, quarantine: bool = False) -> Renormalised:
    """Make a new version of the slot's data under its present language; without a change, make none.

    With `golden`, a new golden set is made, too. Raise UsageError if the change needs what the stored transcripts lack,
    or if clips would go to quarantine and `quarantine` is false; DataRefused if the data as a whole would fail the
    checks of a delivery, WorkspaceError if the workspace cannot be changed now, VersioningError if Git or DVC failed;
    then nothing was changed.
    """
    with slot_transaction(workspace, slot) as stage:
        current = version_at(workspace, "latest", slot)
        restore_shards(workspace, slot, current, golden=True)
        shards = {name: slot_shards(workspace, slot, name) for name in (SHARDS, GOLDEN, QUARANTINE)}
        require_space(workspace.root, sum(path.stat().st_size for path in (*shards[SHARDS], *shards[GOLDEN])))
        found, change = _prepare(workspace, current, shards, _Options(golden, quarantine, stage))
        if change is None:
            return found
        stored = store_change(workspace, change)
    assert stored.dataset is not None
    return replace(found, dataset=stored.dataset, golden=stored.golden, stored=True)


def plan_renormalise(workspace: Workspace, slot: Slot, *, golden: bool = False) -> Renormalised:
    """Return what `renormalise` would change, with its errors but for clips that go to quarantine; change nothing."""
    current = version_at(workspace, "latest", slot)
    with tempfile.TemporaryDirectory(prefix="elp-plan-") as folder:
        stage = Path(folder)
        names = (SHARDS, GOLDEN, QUARANTINE)
        shards = {name: present_files(workspace, current, name, stage / "cache") for name in names}
        options = _Options(golden, True, stage, stage / "docs", dry_run=True)
        return _prepare(workspace, current, shards, options)[0]


def _prepare(
    workspace: Workspace, current: DatasetVersion, shards: Shards, options: _Options
) -> tuple[Renormalised, SlotChange | None]:
    slot, config = current.slot, workspace.settings.for_slot(current.slot).language
    if "text" not in slot.task_spec.needs:
        raise UsageError(f"the clips of {slot} have no transcripts; only those of asr are normalised")
    before, after = current.language, declared_language(slot, config)
    # a golden clip may have left the newest version's shards
    files = [*shards[SHARDS], *(shards[GOLDEN] if options.golden else ())]
    require_possible(current, config, files)
    clips, parts = in_present_form(files, config, options.stage / "texts")
    faults, summary = _faults(workspace, current, parts, options)
    changed = [
        replace(clip, fault=faults.get(clip.id))
        for clip in clips.values()
        if clip.before != clip.after or clip.id in faults
    ]
    changed.sort(key=lambda clip: (clip.path, clip.id))
    units = _units(current, config, clips, shards[SHARDS], faults)
    golden = {row for path in shards[GOLDEN] for row in pq.read_table(path, columns=["id"])["id"].to_pylist()}
    sizes = len((pinned_units(current) or Units()).symbols), len((units or Units()).symbols)
    touched = sum(clip.id in golden for clip in changed)
    found = Renormalised(current, before, after, tuple(changed), sizes, touched)
    if not changed and before == after and kind_of_units(current) in ("", config.unit_kind):
        return found, None
    if faults and not options.quarantine:
        raise UsageError(_refusal(slot, after, found.quarantined))
    if options.dry_run:
        return found, None
    return found, _change(workspace, current, shards, found, units, summary, options)


def _faults(
    workspace: Workspace, current: DatasetVersion, parts: Sequence[Path], options: _Options
) -> tuple[dict[str, ClipFault], ValidationSummary]:
    """Return the clips whose present transcript breaks a rule on transcripts, by id."""
    config = workspace.settings.for_slot(current.slot).language
    # the units are pinned anew: no letter is known already
    rare = rare_letters(config, None, [], parts)
    checked = check_clips(parts, workspace, current.slot, RENORMALISE, validate_rows, options.docs, rare)
    of_text = transcript_reasons(config)
    return {clip: fault for clip, fault in checked.faults.items() if fault.reason in of_text}, checked.summary


def _units(
    current: DatasetVersion,
    config: LanguageConfig,
    clips: Mapping[str, RenormalisedClip],
    shards: Sequence[Path],
    faults: Mapping[str, ClipFault],
) -> Units | None:
    """Return the units of the present transcripts; those that are pinned stay if they are the same ones."""
    rows = [
        row
        for shard in shards
        for row in pq.read_table(shard, columns=["id"], filters=[("split", "=", "train")])["id"].to_pylist()
    ]
    kept = [clips[clip] for clip in rows if clip not in faults]
    before = pinned_units(current) or (Units() if rows else None)
    same_texts = len(kept) == len(rows) and all(clip.before == clip.after for clip in kept)
    return new_units(config, [clip.after for clip in kept], before, same_texts=same_texts)


def _refusal(slot: Slot, after: TranscriptLanguage, clips: Sequence[RenormalisedClip]) -> str:
    faults = [clip.fault for clip in clips if clip.fault]
    counted = ", ".join(f"{number:,} {reason}" for reason, number in count_reasons(faults).items())
    return (
        f"{count(len(clips), 'clip')} of {slot} would go to quarantine under {after} ({counted}; the first: "
        f"{clips[0].path}: {faults[0].detail}); list them with: elp data renormalise {slot} --dry-run, then add "
        "--quarantine"
    )


def _change(
    workspace: Workspace,
    current: DatasetVersion,
    shards: Shards,
    found: Renormalised,
    units: Units | None,
    summary: ValidationSummary,
    options: _Options,
) -> SlotChange:
    slot, number, stage, pinned = current.slot, current.version + 1, options.stage, False
    by_id = {clip.id: clip for clip in found.clips}
    faulty: dict[str, tuple[SourceClip, ClipFault]] = {}

    def rewrite(row: dict[str, Any]) -> dict[str, Any] | None:
        clip = by_id.get(row["id"])
        if clip and clip.fault:
            faulty[clip.id] = _quarantined(row, clip.fault), clip.fault
            return None
        return {**row, "text": clip.after} if clip else row

    staged = {SHARDS: rewrite_folder(shards[SHARDS], by_id.__contains__, rewrite, stage / SHARDS)}
    if options.golden and shards[GOLDEN]:
        staged[GOLDEN] = rewrite_folder(shards[GOLDEN], by_id.__contains__, rewrite, stage / GOLDEN)
        if not staged[GOLDEN].files:
            fault = f"no clip of {pinned_golden(workspace, slot)} would be left; add test clips first"
            raise DataRefused(str(slot), [fault], _STEP)
        # without another word or another rule, the set in force is the present one
        pinned = bool(staged[GOLDEN].leaving) or found.before != found.after
    totals = count_shards(staged[SHARDS].files)
    if not totals.ids:
        raise DataRefused(
            str(slot), ["no clip would be left; correct the transcripts, or declare another language"], _STEP
        )
    require_good_set(workspace, slot, totals, delivered=len(totals.ids), quarantined=[], step=_STEP)
    words = [f"{clip.id} {clip.after} {clip.fault.reason if clip.fault else ''}" for clip in found.clips]
    delivery = record_change(
        RENORMALISE,
        "(renormalised)",
        number,
        [RENORMALISE, str(number), str(found.after), *words],
        clips=len(totals.ids) - current.clips,
        seconds=round(totals.seconds - current.seconds, 3),
        quarantined=len(faulty),
        repeats=len(found.clips) - len(faulty),
    )
    files = write_quarantine(faulty.values(), delivery.name, stage / QUARANTINE)
    version, ref = next_records(
        workspace,
        slot,
        current,
        delivery,
        totals,
        golden=staged[GOLDEN].files if pinned else [],
        quarantine=count_reasons(read_quarantine([*shards[QUARANTINE], *files])),
        validation=summary,
        withdrawn=current.withdrawn,
        corrected=current.corrected,
        language=found.after,
        units=units,
    )
    arriving = {name: folder.arriving for name, folder in staged.items()} | {QUARANTINE: files}
    if pinned:
        # all of its files: the new record names their hash, if they are the same ones, too
        arriving[GOLDEN] = staged[GOLDEN].files
    leaving = {name: folder.leaving for name, folder in staged.items()}
    subject = f"Normalise the transcripts of {slot} again (v{number}, {count(len(found.clips), 'clip')})"
    return SlotChange(slot, subject, version, ref, arriving, leaving)


def _quarantined(row: Mapping[str, Any], fault: ClipFault) -> SourceClip:
    """Return a stored clip as quarantine keeps it; its digest is the clip's id, by which an erasure names it."""
    words = {name: row[name] for name in ("text", "speaker", "label", "split", "condition")}
    words[GROUP] = row.get(GROUP) or ""
    return SourceClip(row["audio"]["path"], row["audio"]["bytes"], sha256=row["id"], **words)
