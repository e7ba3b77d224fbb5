"""Divide a slot's speakers again under the shares of `elp.yaml`: a new dataset version; the old one stays in history.

The golden set stays as it is: its speakers keep the test split. With `golden`, all speakers are divided, and the new
test split becomes a new golden set. A later delivery that names the earlier splits is a repeat, as after a correction.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from elp_core.types import Split
from pipelines.datasets.changed_clips import changed_clips, rewritten_folder
from pipelines.datasets.corrections import Correction, StoredClip, stored_clips
from pipelines.datasets.dataset_version import GOLDEN, SHARDS, DatasetVersion, GoldenRef
from pipelines.datasets.shard_rewriting import RewrittenFolder
from pipelines.datasets.shared_branch import on_newest_state
from pipelines.datasets.slot_change import require_space, slot_transaction, store_change
from pipelines.datasets.slot_language import require_same_language
from pipelines.datasets.slot_needs import version_needs
from pipelines.datasets.slot_shards import only_split, restore_shards, slot_shards
from pipelines.datasets.split_filling import NewClip, PlacedClips, place_clips
from pipelines.datasets.versions import version_at
from pipelines.errors import DataRefused
from pipelines.local.workspace import Workspace
from pipelines.registry.policies import DataPolicy
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class Resplit:
    """What a new division of a slot's speakers changed, or would change."""

    dataset: DatasetVersion
    """The new version; the newest one if nothing changes, or nothing was stored."""
    moved: int
    """Clips with another split."""
    before: Mapping[str, int]
    """Clips by split."""
    after: Mapping[str, int]
    golden: GoldenRef | None = None
    """The new golden set, if there is one."""
    stored: bool = False
    needs: tuple[str, ...] = ()
    """What the stored version still lacks for a training and a verdict, the remedy last."""


@on_newest_state
def resplit_slot(workspace: Workspace, slot: Slot, *, golden: bool = False, dry_run: bool = False) -> Resplit:
    """Make a new version of the slot's data in which every speaker has the split that the shares of `elp.yaml` give.

    Splits that would be empty are filled as at intake. Without `golden`, the speakers of the golden set stay in the
    test split. Raise UsageError if the settings declare another language than the stored transcripts have, DataRefused
    if that leaves nothing to train on, WorkspaceError if the workspace cannot be changed now, VersioningError if Git or
    DVC failed; then nothing was changed.
    """
    with slot_transaction(workspace, slot) as stage:
        current = version_at(workspace, "latest", slot)
        # the units of the version follow from the language; no transcript changes
        require_same_language(current, workspace.settings.for_slot(slot).language, normaliser=False)
        restore_shards(workspace, slot, current, golden=True)
        shards, pinned = slot_shards(workspace, slot, SHARDS), slot_shards(workspace, slot, GOLDEN)
        clips, policy = stored_clips(shards), workspace.settings.for_slot(slot).data
        splits = _new_splits(clips, stored_clips(pinned), slot, policy, golden=golden)
        found = [Correction(0, clip, replace(clip, split=splits[key])) for key, clip in clips.items() if key in splits]
        before = Counter(clip.split for clip in clips.values())
        after = Counter(splits.get(key, clip.split) for key, clip in clips.items())
        done = Resplit(current, len(found), dict(sorted(before.items())), dict(sorted(after.items())))
        _require_training(slot, done, pinned=bool(pinned) and not golden)
        if dry_run:
            return done
        require_space(workspace.root, 2 * sum(path.stat().st_size for path in shards))
        staged = {SHARDS: rewritten_folder(shards, {one.after.id: one for one in found}, stage / SHARDS)}
        staged[GOLDEN] = _golden_folder(staged[SHARDS], pinned, stage / GOLDEN, renew=golden or not pinned)
        if not found and not staged[GOLDEN].arriving:
            return done
        change = changed_clips(workspace, current, staged, found, current.validation, what="resplit", rows=len(found))
        stored = store_change(workspace, change)
    assert stored.dataset is not None
    needs = tuple(version_needs(workspace, stored.dataset))
    return replace(done, dataset=stored.dataset, golden=stored.golden, stored=True, needs=needs)


def _new_splits(
    clips: Mapping[str, StoredClip],
    pinned: Mapping[str, StoredClip],
    slot: Slot,
    policy: DataPolicy,
    *,
    golden: bool,
) -> dict[str, Split]:
    """Return the new split of each clip that moves, by id."""
    kept = {clip.speaker for clip in pinned.values()} - {""} if policy.split_by == "speaker" else set()

    def placed(clip: StoredClip) -> NewClip:
        # a clip of the golden set, and its speaker, are placed like those whose source names the test split
        stays = not golden and (clip.id in pinned or clip.speaker in kept)
        return NewClip(clip.id, clip.speaker, clip.label, "test" if stays else clip.split, named=stays)

    # pseudo-labels stay in the training split
    known = [placed(clip) for clip in clips.values() if not clip.teacher]
    moved = place_clips(known, PlacedClips(), slot, policy, golden=bool(pinned) and not golden).splits
    wanted = {clip.id: moved.get(clip.id, clip.split) for clip in known}
    return {key: split for key, split in wanted.items() if split != clips[key].split}


def _golden_folder(shards: RewrittenFolder, pinned: list[Path], stage: Path, *, renew: bool) -> RewrittenFolder:
    """Return the folder of the golden set: a new one with the test clips, or the one in force."""
    arriving = only_split(shards.files, "test", stage) if renew else []
    names = {path.name for path in arriving}
    if not renew or names == {path.name for path in pinned}:
        return RewrittenFolder([], [], pinned)
    return RewrittenFolder(arriving, [path for path in pinned if path.name not in names], [])


def _require_training(slot: Slot, done: Resplit, *, pinned: bool) -> None:
    if done.after.get("train"):
        return
    fault = "no speaker would be left for the training split; add recordings of others first"
    if pinned:
        fault = "every clip is of a speaker of the golden set; add --golden to choose the golden set again"
    raise DataRefused(str(slot), [fault], "the resplit")
