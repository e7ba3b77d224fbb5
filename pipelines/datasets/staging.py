"""Measure a delivery and write its new clips to staged Parquet files: every sound once, repeats and conflicts noted."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from elp_core.data.corpus import ShardRow, write_shard
from elp_core.groups import GROUP
from elp_core.types import SPLITS, Seconds
from pipelines.chunk_map import ChunkMap
from pipelines.datasets.clip_words import words_digest
from pipelines.datasets.delivery import ClipFault, DeliveryContent, SourceClip
from pipelines.datasets.distant_measuring import measure_elsewhere
from pipelines.datasets.measuring import IntakeSettings, is_large, measure_clips
from pipelines.datasets.shard_columns import read_columns
from pipelines.datasets.stored_splits import stored_splits
from pipelines.registry.names import normal_name

PART_BYTES = 128 * 2**20
"""FLAC bytes that are collected before a part is written: this bounds the memory, and the size of a shard."""
PART_CLIPS = 20_000

Progress = Callable[[int, int, Seconds], None]
"""Called with clips done, clips in all, seconds of audio done."""


class KnownClip(NamedTuple):
    """The record of a clip; if the same sound is delivered again, all but the path must agree."""

    path: str
    text: str
    speaker: str
    label: str
    split: str
    group: str = ""


class Repeat(NamedTuple):
    """A clip whose sound the slot has already."""

    position: int
    """Place in the delivery, from 0."""
    id: str
    conflict: str
    """A sentence on the difference; empty if the words are the same, too."""
    stored: bool
    """Whether the slot has the clip from an earlier delivery."""
    grouped: bool = False
    """Whether this one says groups of a clip that was stored without any."""


@dataclass
class StagedClips:
    """The new clips of a delivery, and what was left out."""

    parts: list[Path] = field(default_factory=list)
    """Staged files with every new, readable clip once."""
    indices: dict[str, int] = field(default_factory=dict)
    """Position in the delivery of each clip in `parts`, by id."""
    faults: dict[int, ClipFault] = field(default_factory=dict)
    """Clips that could not be read, by position."""
    repeats: list[Repeat] = field(default_factory=list)
    withdrawn: int = 0
    """Clips that were left out because they were dropped for good."""
    seconds: Seconds = 0.0
    """Audio read, the repeats included."""
    relabelled: set[str] = field(default_factory=set)
    """Of the new clips, those that the slot has with a pseudo-label, by id."""


def stage_clips(
    content: DeliveryContent,
    settings: IntakeSettings,
    present: Sequence[Path],
    folder: Path,
    progress: Progress | None = None,
    withdrawn: Collection[str] = (),
    corrected: Mapping[str, Collection[str]] | None = None,
    *,
    audio: bool = True,
    chunk_map: ChunkMap | None = None,
) -> StagedClips:
    """Measure a delivery and write its new clips to parts in `folder`, without their sound if `audio` is false.

    A clip of the slot's `present` shards that is delivered again is a repeat; clips with the ids `withdrawn` stay out.
    `corrected` has digests of the words that corrected clips had before: with these, a clip is a repeat, too.
    With a `chunk_map`, the clips of a large delivery are measured by it.
    """
    staged, known = StagedClips(), _known_clips(present)
    taught = taught_ids(present)
    rows: list[ShardRow] = []
    held, total = 0, len(content.clips)
    clips = _with_stored_splits(content.clips, present)
    if chunk_map and is_large(clips):
        found = measure_elsewhere(clips, settings, chunk_map)
    else:
        found = measure_clips(clips, settings)
    for index, measured in enumerate(found):
        if isinstance(measured, ClipFault):
            staged.faults[index] = measured
        else:
            staged.seconds += measured.duration
            if measured.id in taught and not measured.teacher:
                # the words of a person replace those of another model
                before = known.pop(measured.id, None)
                measured = replace(measured, group=measured.group or (before.group if before else ""))
                taught.remove(measured.id)
                staged.relabelled.add(measured.id)
                if not (measured.speaker or content.clips[index].split):
                    measured = replace(measured, split="train")
            if measured.id in withdrawn:
                staged.withdrawn += 1
            elif _is_new(index, measured, known, staged, corrected or {}, named=bool(content.clips[index].split)):
                staged.indices[measured.id] = index
                rows.append(measured if audio else replace(measured, audio=b""))
                held += len(rows[-1].audio)
        if rows and (held >= PART_BYTES or len(rows) >= PART_CLIPS or index + 1 == total):
            staged.parts.append(write_shard(rows, folder))
            rows, held = [], 0
        if progress:
            progress(index + 1, total, staged.seconds)
    return staged


def _with_stored_splits(clips: Sequence[SourceClip], present: Sequence[Path]) -> Sequence[SourceClip]:
    """Give the clips of a speaker that the slot has the split of the stored clips: it need not follow from the name."""
    splits = stored_splits(present)
    return [replace(clip, split=clip.split or splits.get(clip.speaker, "")) for clip in clips] if splits else clips


def taught_ids(shards: Iterable[Path]) -> set[str]:
    """Return the ids of the clips with a pseudo-label."""
    tables = (read_columns(shard, ["id", "teacher"]).to_pydict() for shard in shards)
    return {key for table in tables for key, teacher in zip(table["id"], table["teacher"], strict=True) if teacher}


def _known_clips(shards: Iterable[Path]) -> dict[str, KnownClip]:
    """Return the records in shards by clip id; the audio is not read."""
    known: dict[str, KnownClip] = {}
    for shard in shards:
        table = read_columns(shard, ["id", "audio.path", "text", "speaker", "label", "split", GROUP])
        columns = [table[name].to_pylist() for name in ("id", *KnownClip._fields)]
        for clip_id, path, text, speaker, label, split, group in zip(*columns, strict=True):
            # older releases stored names as they were delivered
            known[clip_id] = KnownClip(path, text, normal_name(speaker), normal_name(label), split, group)
    return known


def _is_new(
    index: int,
    row: ShardRow,
    known: dict[str, KnownClip],
    staged: StagedClips,
    corrected: Mapping[str, Collection[str]],
    *,
    named: bool,
) -> bool:
    """Whether the sound was never delivered before; a repeat is noted. `named`: the source names the clip's split."""
    mine = KnownClip(row.path, row.text, row.speaker, row.label, row.split, row.group)
    # adding it makes a repeat inside the same delivery known as well
    before = known.setdefault(row.id, mine)
    if before is mine:
        return True
    stored, grouped = row.id not in staged.indices, bool(mine.group and not before.group)
    # what a source does not say contradicts nothing, and what it says more does not either
    if not named:
        mine = mine._replace(split=before.split)
    groups = {row.group}
    if not (mine.group and before.group) or mine.group == before.group:
        mine, groups = mine._replace(group=before.group), {row.group, before.group, ""}
    differing = [
        f"{name} {theirs!r} and {ours!r}"
        for name, theirs, ours in zip(KnownClip._fields[1:], before[1:], mine[1:], strict=True)
        if theirs != ours
    ]
    splits = (mine.split,) if named else SPLITS
    said = [mine._replace(split=split, group=group) for split in splits for group in groups]
    if row.teacher:
        # a pseudo-label contradicts nobody
        differing = []
    if differing and any(words_digest(row.id, *words[1:]) in corrected.get(row.id, ()) for words in said):
        # what the clip was called before its correction: the correction stays
        differing = []
    conflict = f"{before.path} and {row.path} are one recording with {', '.join(differing)}" if differing else ""
    staged.repeats.append(Repeat(index, row.id, conflict, stored, stored and grouped))
    return False
