"""Drop the clips of a speaker, or one clip, from a slot: a new dataset version without them, and a new golden set.

Shards are immutable: new shards replace those that held such clips. The ids of the clips are kept with the version, so
that no later delivery restores them. Older versions keep the clips until their files are removed from the DVC remote.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq

from pipelines.datasets.checks import check_clips, require_good_set
from pipelines.datasets.dataset_version import (
    GOLDEN,
    GOLDEN_FILE,
    QUARANTINE,
    RENORMALISE,
    SHARDS,
    TRIALS_FILE,
    DatasetVersion,
    GoldenRef,
    parse_record,
)
from pipelines.datasets.expectations import validate_rows
from pipelines.datasets.golden_trials import GoldenTrials, remaining_trials
from pipelines.datasets.own_change import record_change
from pipelines.datasets.quarantine import count_reasons, read_quarantine, split_quarantine
from pipelines.datasets.refused_delivery import forget_refused
from pipelines.datasets.shard_columns import read_columns
from pipelines.datasets.shard_totals import count_shards
from pipelines.datasets.shared_branch import on_newest_state
from pipelines.datasets.slot_change import SlotChange, require_space, slot_transaction, store_change
from pipelines.datasets.slot_language import pinned_units, require_same_language
from pipelines.datasets.slot_shards import next_records, pinned_golden, restore_shards, slot_shards, without_clips
from pipelines.datasets.subject import Subject
from pipelines.datasets.trial_files import read_positions
from pipelines.datasets.versions import version_at
from pipelines.errors import DataRefused, UsageError
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.names import normal_name, similar_to
from pipelines.registry.slot import Slot

_STEP = "the drop"


@dataclass(frozen=True)
class Dropped:
    """The result of a drop."""

    dataset: DatasetVersion
    clips: int
    quarantined: int
    """Files taken out of quarantine."""
    muted: int
    """Other files in quarantine with the path of a dropped clip: they stay without their sound, which may be its."""
    golden: GoldenRef | None
    """The new golden set; None if the golden set in force held none of the clips."""
    similar: Mapping[str, int] = field(default_factory=dict)
    """Clips that stay, by speaker: names that are similar to the subject's, as `similar_to` finds them."""


@dataclass(frozen=True)
class _Folder:
    """A folder of the slot before and after."""

    arriving: list[Path]
    leaving: list[Path]
    staying: list[Path]
    dropped: set[str]
    """Ids of the clips; for quarantine, SHA-256 of the files."""
    kept: Counter[str] = field(default_factory=Counter)
    """Clips or files of the other speakers, by the normal form of their names."""
    paths: frozenset[str] = frozenset()
    """Paths of the dropped clips, as their deliveries named them."""
    muted: int = 0
    clips: frozenset[str] = frozenset()
    """Of quarantine, the ids of dropped files that were clips of the slot before (`renormalise`)."""

    @property
    def files(self) -> list[Path]:
        """The files of the new version."""
        return self.staying + self.arriving


@on_newest_state
def drop_clips(workspace: Workspace, slot: Slot, subject: Subject) -> Dropped:
    """Make a new version of the slot's data without the clips of a speaker, or without one clip.

    Raise UsageError if the newest version and the golden set hold no such clip, DataRefused if the remaining data would
    fail the checks of a delivery or no golden clip would remain, WorkspaceError if the workspace cannot be changed now,
    VersioningError if Git or DVC failed; then nothing was changed, but the list of a refused delivery goes.
    """
    with slot_transaction(workspace, slot) as stage:
        # first: the subject may be on the list of a refused delivery only, and then there is nothing else to drop
        forget_refused(workspace, slot)
        current = version_at(workspace, "latest", slot)
        # the rules of another language would refuse what stays; another release of its normaliser changes nothing here
        require_same_language(current, workspace.settings.for_slot(slot).language, normaliser=False)
        restore_shards(workspace, slot, current, golden=True)
        shards = slot_shards(workspace, slot, SHARDS)
        require_space(workspace.root, sum(path.stat().st_size for path in shards))
        found = {
            SHARDS: _without(shards, subject, stage / SHARDS),
            GOLDEN: _without(slot_shards(workspace, slot, GOLDEN), subject, stage / GOLDEN),
        }
        paths = found[SHARDS].paths | found[GOLDEN].paths
        found[QUARANTINE] = _quarantine(slot_shards(workspace, slot, QUARANTINE), subject, stage / QUARANTINE, paths)
        similar = similar_to(subject.speaker, found[SHARDS].kept + found[QUARANTINE].kept) if subject.speaker else {}
        if not any(folder.dropped for folder in found.values()):
            also = f"; similar names: {', '.join(map(repr, sorted(similar)))}" if similar else ""
            raise UsageError(
                f"{current.tag} holds nothing of {subject}{also}; find what does: elp audit {slot} {subject.option}"
            )
        gone = found[SHARDS].dropped | found[GOLDEN].dropped | found[QUARANTINE].clips
        stored = store_change(workspace, _change(workspace, current, found, gone))
    assert stored.dataset is not None
    files = found[QUARANTINE]
    clips = found[SHARDS].dropped | found[GOLDEN].dropped
    return Dropped(stored.dataset, len(clips), len(files.dropped), files.muted, stored.golden, similar)


def _without(shards: Sequence[Path], subject: Subject, stage: Path) -> _Folder:
    """New shards in place of those that hold clips of the subject."""
    dropped: set[str] = set()
    kept: Counter[str] = Counter()
    leaving, paths = [], set[str]()
    for shard in shards:
        table = read_columns(shard, ["id", "speaker", "audio.path"]).to_pydict()
        rows = list(zip(table["id"], table["speaker"], table["path"], strict=True))
        ids = {key for key, name, _ in rows if subject.matches(key, name)}
        kept.update(normal_name(name) for key, name, _ in rows if key not in ids)
        paths.update(normal_name(path) for key, _, path in rows if key in ids)
        if ids:
            leaving.append(shard)
            dropped |= ids
    staying = [shard for shard in shards if shard not in leaving]
    return _Folder(without_clips(leaving, dropped, stage), leaving, staying, dropped, kept=kept, paths=frozenset(paths))


def _quarantine(shards: Sequence[Path], subject: Subject, stage: Path, paths: frozenset[str]) -> _Folder:
    """New files without those of the subject; a whole file that a dropped clip may come from stays without its sound.

    Such a file is in quarantine under another name or none if its clips came with a later delivery: by their channels
    or by annotations.
    """
    found, muted, clips = _Folder([], [], [], set()), 0, set[str]()
    columns = ["sha256", "speaker", "path", "delivery"]
    for row in (row for shard in shards for row in pq.read_table(shard, columns=columns).to_pylist()):
        name = normal_name(row["speaker"] or "")
        if name != subject.speaker:
            found.kept[name] += 1
        if subject.matches(row["sha256"], name):
            paths |= {normal_name(row["path"])}
            clips |= {row["sha256"]} if (row["delivery"] or "").startswith(RENORMALISE) else set()
    for shard in shards:
        kept, gone, silent = split_quarantine(
            shard, lambda row: subject.matches(row["sha256"], row["speaker"] or ""), stage, paths
        )
        muted += silent
        (found.leaving if gone or silent else found.staying).append(shard)
        found.arriving.extend(kept)
        found.dropped.update(clip.sha256 for clip in gone)
    return replace(found, muted=muted, clips=frozenset(clips))


def _change(workspace: Workspace, current: DatasetVersion, found: Mapping[str, _Folder], gone: set[str]) -> SlotChange:
    slot, number, clips, golden = current.slot, current.version + 1, found[SHARDS], found[GOLDEN]
    totals = count_shards(clips.files)
    if not totals.ids:
        raise DataRefused(str(slot), ["no clip would be left; add recordings of other speakers first"], _STEP)
    checked = check_clips(clips.arriving, workspace, slot, "drop", validate_rows)
    require_good_set(
        workspace, slot, totals, delivered=len(totals.ids), quarantined=[*checked.faults.values()], step=_STEP
    )
    if golden.leaving and not golden.files:
        pinned = pinned_golden(workspace, slot)
        raise DataRefused(
            str(slot), [f"no clip of {pinned} would be left; add test clips of other speakers first"], _STEP
        )
    delivery = record_change(
        "drop",
        "(dropped)",
        number,
        ["drop", *sorted(gone)],
        clips=-len(clips.dropped),
        seconds=round(totals.seconds - current.seconds, 3),
        quarantined=-len(found[QUARANTINE].dropped),
        withdrawn=len(gone),
    )
    listed = _remaining_trials(workspace, slot, golden) if golden.leaving else None
    version, ref = next_records(
        workspace,
        slot,
        current,
        delivery,
        totals,
        golden=golden.files if golden.leaving else [],
        trials=listed.record if listed else None,
        quarantine=count_reasons(read_quarantine(found[QUARANTINE].files)),
        validation=checked.summary,
        withdrawn={*current.withdrawn, *gone},
        corrected=current.corrected,
        language=current.language,
        # kept whole: a head's outputs have their meaning by their place
        units=pinned_units(current),
    )
    arriving = {name: folder.arriving for name, folder in found.items()}
    leaving = {name: folder.leaving for name, folder in found.items()}
    # the subject's name stays out of Git, whose history cannot be erased
    subject, trials = f"Drop {count(len(gone), 'clip')} from {slot} (v{number})", listed.text if listed else ""
    return SlotChange(slot, subject, version, ref, arriving, leaving, trials)


def _remaining_trials(workspace: Workspace, slot: Slot, golden: _Folder) -> GoldenTrials | None:
    """Return the trials of the golden set in force without those of the clips that leave it; None if it has no list."""
    folder = workspace.root / slot.folder
    pinned = parse_record(GoldenRef, (folder / GOLDEN_FILE).read_text(encoding="utf-8"))
    if pinned.trials is None:
        return None
    before = count_shards([*golden.staying, *golden.leaving]).ids
    trials = read_positions((folder / TRIALS_FILE).read_text(encoding="utf-8"), pinned.trials.name, before)
    remaining = remaining_trials(trials, pinned.trials, [clip for clip in before if clip not in golden.dropped])
    if remaining is None:
        sentence = f"no trial of one kind of {pinned.trials.name} would be left; pin another golden set first"
        raise DataRefused(str(slot), [sentence], _STEP)
    return remaining
