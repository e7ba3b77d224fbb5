"""A delivery that was read, measured and checked for its slot: intake stores what is good, a dry run reports it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from elp_core.languages import LanguageConfig
from pipelines.chunk_map import ChunkMap
from pipelines.datasets.alignment import Alignment
from pipelines.datasets.checks import CheckedClips, check_clips, set_faults
from pipelines.datasets.dataset_version import GOLDEN, SHARDS, DatasetVersion
from pipelines.datasets.delivery import (
    ClipFault,
    DeliveryContent,
    DeliveryOptions,
    Importer,
    SourceClip,
    read_delivery,
)
from pipelines.datasets.expectations import Validate
from pipelines.datasets.group_rules import new_groups
from pipelines.datasets.measuring import IntakeSettings
from pipelines.datasets.quarantine import with_own_sound
from pipelines.datasets.shard_rewriting import RewrittenFolder, rewrite_folder
from pipelines.datasets.shard_totals import ShardTotals, count_shards
from pipelines.datasets.slot_language import rare_letters, require_same_language
from pipelines.datasets.slot_needs import slot_needs
from pipelines.datasets.slot_shards import clip_sounds, pinned_golden, slot_shards, without_clips
from pipelines.datasets.split_filling import NewClip, place_clips, placed_clips, rewrite_splits
from pipelines.datasets.staging import Progress, Repeat, StagedClips, stage_clips
from pipelines.datasets.transcripts import apply_transcript_rules
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class JudgedDelivery:
    """The clips of a delivery, the good ones in shards, and whether it is good as a whole."""

    content: DeliveryContent
    language: LanguageConfig
    staged: StagedClips
    checked: CheckedClips
    faults: dict[int, ClipFault]
    """Of each bad clip, by its position in the delivery."""
    repeats: list[Repeat]
    """Of good clips."""
    shards: list[Path]
    """With the good, new clips."""
    totals: ShardTotals
    """Of all the slot's data with them."""
    refused: list[str]
    """Why the delivery is refused as a whole; empty if it is good."""
    needs: list[str]
    """What the slot then lacks for a training and a verdict, the remedy last."""
    moved: Mapping[str, int]
    """Clips that the rule of `split_filling` gave another split than the shares of the policy."""
    bad: Mapping[str, ClipFault]
    """Of each bad clip that was measured, by its id."""
    stored: RewrittenFolder
    """The slot's shards without the pseudo-labels that the delivery replaces."""
    new_groups: tuple[str, ...] = ()
    """Groups of good clips that the slot had no clip of, such as ``dialect=kansai``; empty for a slot's first ones."""

    @property
    def new(self) -> int:
        """Return how many clips are new and good."""
        return len(self.staged.indices.keys() - self.bad.keys())

    @property
    def ungrouped(self) -> str:
        """Return a sentence on groups that the delivery says of clips which were stored without; empty if none."""
        if not (number := sum(one.grouped for one in self.repeats)):
            return ""
        remedy = "set them with: elp data correct SITE/TASK FILE, by this manifest or a table"
        return f"the groups of {count(number, 'clip')} that were taken in before are not stored; {remedy}"

    @property
    def alignment(self) -> Alignment | None:
        """Return what cut the recordings; of their sounds, those that a new and good clip came from."""
        cut, clips = self.content.alignment, self.content.clips
        taken = {clips[index].recording for clip, index in self.staged.indices.items() if clip not in self.bad}
        return cut and replace(cut, sounds=tuple(sound for sound in cut.sounds if sound in taken))

    def quarantined(self) -> list[tuple[SourceClip, ClipFault]]:
        """Return the bad clips as quarantine keeps them."""
        clips, staged = self.content.clips, self.staged
        # the id of each clip that was measured: a copy of a bad clip is bad for the same reason
        ids = {staged.indices[clip]: clip for clip in self.bad if clip in staged.indices}
        ids |= {one.position: one.id for one in staged.repeats}
        parts = {ids[index] for index in self.faults if index in ids and not clips[index].whole}
        sounds = clip_sounds(staged.parts, parts)
        return [
            with_own_sound(clips[index], fault, sounds.get(ids.get(index, ""))) for index, fault in self.faults.items()
        ]


def read_for_slot(
    workspace: Workspace,
    slot: Slot,
    current: DatasetVersion | None,
    source: Path,
    importer: Importer,
    options: DeliveryOptions,
    spool: Path,
) -> DeliveryContent:
    """Read a delivery as `read_delivery` does, and apply the slot's rules on languages and tags.

    Raise UsageError if `current`, the slot's newest version, is in another language than the settings declare.
    """
    own = workspace.settings.for_slot(slot)
    if current:
        require_same_language(current, own.language)
    content = read_delivery(source, importer, options, own.data, spool, own.language)
    return apply_transcript_rules(content, slot, own.data.tags, own.language.code)


def judge_delivery(
    workspace: Workspace,
    slot: Slot,
    current: DatasetVersion | None,
    content: DeliveryContent,
    present: Sequence[Path],
    stage: Path,
    validate: Validate,
    progress: Progress | None = None,
    *,
    dry_run: bool = False,
    chunk_map: ChunkMap | None = None,
) -> JudgedDelivery:
    """Measure and check a delivery; `present` are the shards of `current`.

    Nothing is written outside the folder `stage`, but for the Data Docs; a dry run writes them to `stage`, too, and
    leaves the sound out of the shards.
    """
    own = workspace.settings.for_slot(slot)
    settings = IntakeSettings(own.data, content.options, content.name, own.language)
    withdrawn, corrected = (frozenset(current.withdrawn), current.corrected) if current else (frozenset(), {})
    words = (withdrawn, corrected)
    staged = stage_clips(
        content, settings, present, stage / "parts", progress, *words, audio=not dry_run, chunk_map=chunk_map
    )
    # before the checks, which judge training clips more strictly
    staged.parts, moved = _filled(workspace, slot, content, staged, staged.parts, present, stage / "filled")
    withheld = {
        clip: fault for clip, index in staged.indices.items() if (fault := content.clips[index].withheld) is not None
    }
    rare = rare_letters(own.language, current, present, staged.parts)
    docs = stage / "docs" if dry_run else None
    stored_groups = current.groups if current else {}
    checked = check_clips(staged.parts, workspace, slot, content.name, validate, docs, rare, stored_groups)
    checked = replace(checked, faults={**checked.faults, **withheld})
    duplicates = _duplicates(staged, checked) if "duplicates" in content.options.quarantine else {}
    bad = {**checked.faults, **{clip: fault for clip, fault in duplicates.items() if clip in staged.indices}}
    found = staged.faults | {staged.indices[clip]: fault for clip, fault in bad.items()}
    # a copy of a bad clip is bad for the same reason, whatever its words are
    found |= {repeat.position: bad[repeat.id] for repeat in staged.repeats if repeat.id in bad}
    # of a stored clip, the delivered one with other words stays out
    found |= {
        repeat.position: duplicates[repeat.id]
        for repeat in staged.repeats
        if repeat.conflict and repeat.stored and repeat.id in duplicates
    }
    faults = dict(sorted(found.items()))
    repeats = [one for one in staged.repeats if one.position not in faults]
    shards = without_clips(staged.parts, bad.keys(), stage / SHARDS)
    if bad:
        # a split may have lost all its clips to quarantine
        shards, moved = _filled(workspace, slot, content, staged, shards, present, stage / "filled-again")
    relabelled = staged.relabelled - bad.keys()
    stored = rewrite_folder(present, relabelled.__contains__, _without(relabelled), stage / "relabelled")
    totals = count_shards([*stored.files, *shards])
    refused = set_faults(
        workspace,
        slot,
        totals,
        delivered=len(content.clips),
        quarantined=[*faults.values()],
        conflicts=_conflicts(slot, repeats),
        allowed=content.options.quarantine,
    )
    needs = slot_needs(workspace, slot, totals)
    new = tuple(new_groups(totals.groups, stored_groups))
    return JudgedDelivery(
        content, own.language, staged, checked, faults, repeats, shards, totals, refused, needs, moved, bad, stored, new
    )


def _filled(
    workspace: Workspace,
    slot: Slot,
    content: DeliveryContent,
    staged: StagedClips,
    parts: list[Path],
    present: Sequence[Path],
    folder: Path,
) -> tuple[list[Path], Mapping[str, int]]:
    """Fill the splits that the slot lacks with new clips; return the parts, and how many clips fill which split."""
    table = [
        row for part in parts for row in pq.read_table(part, columns=["id", "speaker", "label", "split"]).to_pylist()
    ]
    clips = [NewClip(**row, named=_named(row, content, staged)) for row in table]
    policy, golden = workspace.settings.for_slot(slot).data, bool(pinned_golden(workspace, slot))
    placed = placed_clips(present)
    # a speaker of the golden set may have no other clip any more; in training, every verdict would fail
    tested = placed_clips(slot_shards(workspace, slot, GOLDEN)).speakers.keys() - placed.speakers.keys()
    placed.speakers |= {speaker: {"test"} for speaker in tested}
    found = place_clips(clips, placed, slot, policy, golden=golden)
    rewritten = rewrite_splits(parts, found.splits, folder) if found.splits else parts
    return rewritten, {str(split): count for split, count in found.filled.items()}


def _named(row: Mapping[str, Any], content: DeliveryContent, staged: StagedClips) -> bool:
    """Return whether the split of a new clip is given: by its source, or because it was a training clip before."""
    stays = row["id"] in staged.relabelled and not row["speaker"]
    return stays or bool(content.clips[staged.indices[row["id"]]].split)


def _without(clips: Collection[str]) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    return lambda row: None if row["id"] in clips else row


def _duplicates(staged: StagedClips, checked: CheckedClips) -> dict[str, ClipFault]:
    """Return the fault of each sound that came with several words, by clip id: nobody knows which are right."""
    return {
        one.id: ClipFault("duplicate_words", one.conflict)
        for one in staged.repeats
        if one.conflict and one.id not in checked.faults
    }


def _conflicts(slot: Slot, repeats: Sequence[Repeat]) -> list[str]:
    """Return a sentence on each sound that was delivered with other words, and what to do about stored ones."""
    found = [repeat.conflict for repeat in repeats if repeat.conflict]
    if any(repeat.conflict and repeat.stored for repeat in repeats):
        remedy = f"if the new words are right, correct the stored ones first: elp data correct {slot} FILE"
        # in the first one, because only the first few are shown
        found[0] += f" ({remedy})"
    return found
