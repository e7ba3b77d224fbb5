"""Figures of a set of shards: clips, speakers, splits, names, groups and pseudo-labels."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from elp_core.data.extra_columns import EXTRA_TEXTS
from elp_core.groups import GROUP, count_groups
from elp_core.types import Seconds
from pipelines.datasets.name_warnings import NAME_KINDS
from pipelines.datasets.shard_columns import read_columns
from pipelines.registry.names import normal_name

_COUNTED = ("id", "duration", "split", "speaker", "condition", "label")


@dataclass(frozen=True)
class ShardTotals:
    """Figures of a set of shards."""

    shards: tuple[str, ...]
    """Names of the files."""
    ids: tuple[str, ...]
    seconds: Seconds
    speakers: int
    splits: dict[str, int]
    split_seconds: dict[str, float]
    conditions: dict[str, int]
    shared: tuple[str, ...]
    """Speakers that occur in more than one split."""
    classes: dict[str, dict[str, int]]
    """Clips by label, for each split; clips without a label are not counted."""
    names: dict[str, dict[str, int]]
    """Clips by name, for each kind of name: ``speaker``, ``label``, ``condition``, and each key of groups."""
    split_speakers: dict[str, int]
    """Named speakers in each split."""
    teachers: tuple[str, ...] = ()
    """Bundles that labelled clips, sorted."""
    taught_clips: int = 0
    taught_seconds: Seconds = 0.0
    groups: dict[str, dict[str, int]] = field(default_factory=dict)
    """Clips by value, for each key of groups."""


def count_shards(shards: Sequence[Path]) -> ShardTotals:
    """Count what shards hold, by the normal form of its names; the audio is not read."""
    ids: list[str] = []
    splits: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    names: dict[str, Counter[str]] = {kind: Counter() for kind in NAME_KINDS}
    lengths: dict[str, float] = defaultdict(float)
    homes: dict[str, set[str]] = defaultdict(set)
    classes: dict[str, Counter[str]] = defaultdict(Counter)
    taught: list[tuple[str, float]] = []
    for shard in shards:
        table = read_columns(shard, [*_COUNTED, *EXTRA_TEXTS]).to_pydict()
        ids += table["id"]
        splits.update(table["split"])
        # older releases stored names as they were delivered
        columns = {kind: [normal_name(name) for name in table[kind]] for kind in NAME_KINDS}
        for kind in NAME_KINDS:
            names[kind].update(columns[kind])
        groups.update(table[GROUP])
        lengths_of = zip(table["teacher"], table["duration"], strict=True)
        taught += [(teacher, seconds) for teacher, seconds in lengths_of if teacher]
        rows = zip(table["duration"], table["split"], columns["speaker"], columns["label"], strict=True)
        for seconds, split, speaker, label in rows:
            lengths[split] += seconds
            if speaker:
                homes[speaker].add(split)
            if label:
                classes[split][label] += 1
    by_key = count_groups(groups)
    return ShardTotals(
        shards=tuple(sorted(shard.name for shard in shards)),
        ids=tuple(ids),
        seconds=sum(lengths.values()),
        speakers=len(homes),
        splits=dict(sorted(splits.items())),
        split_seconds={name: round(value, 3) for name, value in sorted(lengths.items())},
        conditions=dict(sorted(names["condition"].items())),
        shared=tuple(sorted(speaker for speaker, found in homes.items() if len(found) > 1)),
        classes={split: dict(sorted(labels.items())) for split, labels in sorted(classes.items())},
        names=by_key | {kind: dict(counts) for kind, counts in names.items()},
        split_speakers=dict(Counter(split for found in homes.values() for split in found)),
        teachers=tuple(sorted({teacher for teacher, _ in taught})),
        taught_clips=len(taught),
        taught_seconds=round(sum(seconds for _, seconds in taught), 3),
        groups=by_key,
    )
