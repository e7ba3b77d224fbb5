"""The splits of a slot that lacks some: new speakers fill them, in the order of their places (`split_place`).

The shares of the policy are reached on average only, and a slot of five speakers may get no validation clip. So the
speakers of a delivery that no source and no stored clip has placed may move, and no others: once a speaker has a
split, it keeps it. The rule, for a task that needs `least` speakers in a split (verification 2, other tasks 1):

1. A class without a training clip gets the speaker with that class whose place is the highest.
2. The test split, then the validation split, get the speakers with the lowest places, then the training split those
   with the highest, until each has `least`. That is what larger shares would give.
3. Before the golden set is pinned, the test split gets a second speaker if two stay in training: the gate resamples
   speakers, and decides nothing with one.

A split never gives away one of its last `least` speakers, nor the training split the last one of a class. A clip
without a speaker counts as a speaker; with `split_by: clip`, every clip does.
"""

import copy
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from elp_core.data.recordings import split_place
from elp_core.types import SPLITS, Split
from pipelines.datasets.measuring import split_of
from pipelines.datasets.readiness import least_speakers
from pipelines.datasets.shard_rewriting import rewrite_folder
from pipelines.registry.names import normal_name
from pipelines.registry.policies import DataPolicy
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class NewClip:
    """A clip to place: one whose split follows from its speaker, or one whose source `named` its split."""

    id: str
    speaker: str
    label: str
    split: Split
    named: bool = False


@dataclass
class PlacedClips:
    """What the splits hold already; it decides which splits are short of speakers."""

    speakers: dict[str, set[Split]] = field(default_factory=dict)
    """Splits of each named speaker."""
    nameless: Counter[Split] = field(default_factory=Counter)
    """Clips without a speaker."""
    trained: set[str] = field(default_factory=set)
    """Labels of the training split."""

    def add(self, speaker: str, split: Split, label: str, clips: int = 1) -> None:
        """Count clips of a split; an empty `speaker` or `label` stands for none."""
        if speaker:
            self.speakers.setdefault(speaker, set()).add(split)
        else:
            self.nameless[split] += clips
        if label and split == "train":
            self.trained.add(label)

    def counts(self) -> Counter[Split]:
        """Return the speakers of each split; a clip without a speaker counts as one."""
        return self.nameless + Counter(split for homes in self.speakers.values() for split in homes)


@dataclass(frozen=True)
class Placement:
    """Where clips go."""

    splits: Mapping[str, Split]
    """The split of each clip that gets another one than it has, by id."""
    filled: Mapping[Split, int]
    """Clips by split that the rule of this module placed there, and not the shares, the source or a stored clip."""


@dataclass
class _Unit:
    """What shares one split: a speaker with its clips, or one clip."""

    key: str
    split: Split
    labels: set[str] = field(default_factory=set)
    clips: list[str] = field(default_factory=list)


def placed_clips(shards: Iterable[Path]) -> PlacedClips:
    """Return what shards hold, by the normal form of the names; the audio is not read."""
    placed, columns = PlacedClips(), ["speaker", "split", "label"]
    for shard in shards:
        table = pq.read_table(shard, columns=columns).group_by(columns).aggregate([([], "count_all")])
        for row in table.to_pylist():
            placed.add(normal_name(row["speaker"]), row["split"], normal_name(row["label"]), row["count_all"])
    return placed


def place_clips(
    clips: Sequence[NewClip], placed: PlacedClips, slot: Slot, policy: DataPolicy, *, golden: bool
) -> Placement:
    """Return the splits of clips.

    `placed` is what the slot has; `golden` is whether the slot has a golden set.
    """
    named = defaultdict[str, set[Split]](set)
    for clip in clips:
        if clip.named and clip.speaker:
            named[clip.speaker].add(clip.split)
    alone = policy.split_by == "clip"
    units: dict[str, _Unit] = {}
    splits: dict[str, Split] = {}
    for clip in clips:
        homes = placed.speakers.get(clip.speaker) or named.get(clip.speaker, set())
        if clip.named or (homes and not alone):
            # with several splits, in a closed set, the clip itself decides
            one = next(iter(homes)) if len(homes) == 1 else _hashed(clip.id, policy)
            splits[clip.id] = clip.split if clip.named else one
            continue
        key = clip.id if alone or not clip.speaker else clip.speaker
        unit = units.setdefault(key, _Unit(key, _hashed(key, policy)))
        unit.labels |= {clip.label} - {""}
        unit.clips.append(clip.id)
    settled = copy.deepcopy(placed)
    for clip in clips:
        if clip.id in splits:
            settled.add(clip.speaker, splits[clip.id], clip.label)
    before = {key: unit.split for key, unit in units.items()}
    _fill([*units.values()], settled.counts(), settled.trained, least_speakers(slot), golden=golden)
    splits |= {clip: unit.split for unit in units.values() for clip in unit.clips}
    filled = Counter(unit.split for key, unit in units.items() if unit.split != before[key] for _ in unit.clips)
    return Placement({clip.id: splits[clip.id] for clip in clips if splits[clip.id] != clip.split}, filled)


def rewrite_splits(shards: Sequence[Path], splits: Mapping[str, Split], folder: Path) -> list[Path]:
    """Return shards in which clips have other splits (by clip id); shards that change are written to `folder`."""

    def moved(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"split": splits.get(row["id"], row["split"])}

    return rewrite_folder(shards, splits.__contains__, moved, folder).files


def _hashed(key: str, policy: DataPolicy) -> Split:
    return split_of(key, policy.validation_share, policy.test_share)


def _fill(
    units: Sequence[_Unit], settled: Mapping[Split, int], trained: Collection[str], least: int, *, golden: bool
) -> None:
    """Move units as the rule of this module says; `settled` counts the speakers that have their split already."""
    upwards = sorted(units, key=lambda unit: (split_place(unit.key), unit.key))
    counts = Counter({split: settled.get(split, 0) for split in SPLITS}) + Counter(unit.split for unit in units)
    learned = Counter(label for unit in units if unit.split == "train" for label in unit.labels)
    learned.update(trained)

    def move(unit: _Unit, split: Split) -> None:
        counts[unit.split] -= 1
        counts[split] += 1
        learned.update(dict.fromkeys(unit.labels, (split == "train") - (unit.split == "train")))
        unit.split = split

    def spare(unit: _Unit, keep: int) -> bool:
        last = unit.split == "train" and any(learned[label] == 1 for label in unit.labels)
        return not last and counts[unit.split] > (keep if unit.split == "train" else least)

    for label in sorted({label for unit in units for label in unit.labels}):
        having = (unit for unit in reversed(upwards) if label in unit.labels and unit.split != "train")
        if not learned[label] and (found := next((unit for unit in having if spare(unit, least)), None)):
            move(found, "train")
    steps: list[tuple[Split, int, int]] = [(split, least, least) for split in ("test", "validation", "train")]
    if not golden:
        steps.append(("test", 2, 2))
    for split, wanted, keep in steps:
        order = upwards if split != "train" else upwards[::-1]
        while counts[split] < wanted:
            found = next((unit for unit in order if unit.split != split and spare(unit, max(keep, least))), None)
            if found is None:
                break
            move(found, split)
