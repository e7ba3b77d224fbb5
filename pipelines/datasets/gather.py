"""Bring a delivery's clips into staged Parquet parts: each sound once, repeats and contradictions told apart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from elp_core.data.corpus import ShardRow, write_shard
from elp_core.types import Seconds
from pipelines.datasets.measuring import Recipe, process
from pipelines.datasets.source_clip import Fault, SourceClip

PART_BYTES = 128 * 2**20
"""FLAC bytes held before a part is written: bounds memory, and the size of a shard."""
PART_CLIPS = 20_000

Progress = Callable[[int, int, Seconds], None]
"""Called with clips done, clips in all, seconds of audio done."""


class Known(NamedTuple):
    """What is on record of a clip; all but the path must agree where the same sound comes again."""

    path: str
    text: str
    speaker: str
    label: str
    split: str


class Again(NamedTuple):
    """A clip whose sound is there already."""

    place: int
    """Which clip of the delivery it is, from 0."""
    id: str
    conflict: str
    """A sentence on what differs; empty where the words are the same, too."""


@dataclass
class Gathered:
    """What a delivery brought."""

    parts: list[Path] = field(default_factory=list)
    """Staged files with every new, readable clip once."""
    indices: dict[str, int] = field(default_factory=dict)
    """Place in the delivery of each clip in `parts`, by id."""
    faults: dict[int, Fault] = field(default_factory=dict)
    """Clips that could not be read, by their place."""
    again: list[Again] = field(default_factory=list)
    """Clips left out because the same sound is there already."""
    withdrawn: int = 0
    """Clips left out because they were dropped for good."""
    seconds: Seconds = 0.0
    """Audio read, the repeats too."""


def read_known(shards: Iterable[Path]) -> dict[str, Known]:
    """What shards hold, by clip id; the audio is not read."""
    known: dict[str, Known] = {}
    for shard in shards:
        table = pq.read_table(shard, columns=["id", "audio.path", "text", "speaker", "label", "split"])
        # a leaf read alone comes under its own name
        columns = [table[name].to_pylist() for name in ("id", "path", "text", "speaker", "label", "split")]
        for clip_id, *words in zip(*columns, strict=True):
            known[clip_id] = Known(*words)
    return known


def gather(
    clips: Iterable[SourceClip],
    total: int,
    recipe: Recipe,
    known: dict[str, Known],
    folder: Path,
    progress: Progress,
    withdrawn: Collection[str] = (),
) -> Gathered:
    """Process a delivery into parts in `folder`.

    Args:
        clips: the delivery.
        total: how many clips it has.
        recipe: how they are processed.
        known: what the slot holds already; the new clips are added to it.
        folder: gets the parts.
        progress: told after every clip.
        withdrawn: ids of clips that stay out.
    """
    gathered = Gathered()
    rows: list[ShardRow] = []
    held = 0
    for taken in process(clips, total, recipe):
        if isinstance(taken.outcome, Fault):
            gathered.faults[taken.index] = taken.outcome
        else:
            gathered.seconds += taken.outcome.duration
            if taken.outcome.id in withdrawn:
                gathered.withdrawn += 1
            elif _is_new(taken.index, taken.outcome, known, gathered):
                gathered.indices[taken.outcome.id] = taken.index
                rows.append(taken.outcome)
                held += len(taken.outcome.audio)
        if held >= PART_BYTES or len(rows) >= PART_CLIPS:
            gathered.parts.append(write_shard(rows, folder))
            rows, held = [], 0
        progress(taken.index + 1, total, gathered.seconds)
    if rows:
        gathered.parts.append(write_shard(rows, folder))
    return gathered


def _is_new(index: int, row: ShardRow, known: dict[str, Known], gathered: Gathered) -> bool:
    """Whether the sound is heard for the first time."""
    mine = Known(row.path, row.text, row.speaker, row.label, row.split)
    before = known.get(row.id)
    if before is None:
        known[row.id] = mine
        return True
    differing = [
        f"{name} {theirs!r} and {ours!r}"
        for name, theirs, ours in zip(Known._fields[1:], before[1:], mine[1:], strict=True)
        if theirs != ours
    ]
    conflict = f"{before.path} and {row.path} are one recording with {', '.join(differing)}" if differing else ""
    gathered.again.append(Again(index, row.id, conflict))
    return False


def keep(parts: Sequence[Path], dropped: set[str], folder: Path) -> list[Path]:
    """Shards of the parts without the clips in `dropped`; a part that loses nothing is moved as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = []
    for part in parts:
        ids = set(pq.read_table(part, columns=["id"])["id"].to_pylist())
        if ids & dropped:
            rows = [row for row in pq.read_table(part).to_pylist() if row["id"] not in dropped]
            if rows:
                shards.append(write_shard(rows, folder))
        else:
            target = folder / part.name
            part.rename(target)
            shards.append(target)
    return shards


def select(shards: Iterable[Path], split: str, folder: Path) -> list[Path]:
    """New shards in `folder` with the rows of one split."""
    written = []
    for shard in shards:
        rows = pq.read_table(shard, filters=[("split", "=", split)]).to_pylist()
        if rows:
            written.append(write_shard(rows, folder))
    return written


@dataclass(frozen=True)
class Totals:
    """Figures of a set of shards."""

    ids: tuple[str, ...]
    seconds: Seconds
    speakers: int
    splits: dict[str, int]
    split_seconds: dict[str, float]
    conditions: dict[str, int]
    shared: tuple[str, ...]
    """Speakers that occur in more than one split."""
    classes: dict[str, dict[str, int]]
    """Clips by label, for each split; clips without a label are in none."""


def totals(shards: Iterable[Path]) -> Totals:
    """Count what shards hold; the audio is not read."""
    ids: list[str] = []
    splits: dict[str, int] = {}
    lengths: dict[str, float] = {}
    conditions: dict[str, int] = {}
    homes: dict[str, set[str]] = {}
    classes: dict[str, dict[str, int]] = {}
    for shard in shards:
        table = pq.read_table(shard, columns=["id", "duration", "split", "speaker", "condition", "label"]).to_pydict()
        ids += table.pop("id")
        for seconds, split, speaker, condition, label in zip(*table.values(), strict=True):
            splits[split] = splits.get(split, 0) + 1
            lengths[split] = lengths.get(split, 0.0) + seconds
            conditions[condition] = conditions.get(condition, 0) + 1
            if speaker:
                homes.setdefault(speaker, set()).add(split)
            if label:
                here = classes.setdefault(split, {})
                here[label] = here.get(label, 0) + 1
    shared = tuple(sorted(speaker for speaker, where in homes.items() if len(where) > 1))
    whole = sum(lengths.values())
    return Totals(
        tuple(ids), whole, len(homes), splits, _rounded(lengths), dict(sorted(conditions.items())), shared, classes
    )


def _rounded(lengths: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in sorted(lengths.items())}
