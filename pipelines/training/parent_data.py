"""Whether an adapter may be learned from: its training data must be in its slots still, and unchanged.

An adapter that learned from a clip keeps something of it. So a training starts only from adapters whose clips are all
in the newest version of their slot, with the same words, label and speaker; the rule holds for every adapter that those
learned from, too. What was dropped or corrected then ends with the adapters that were trained on it. Clips that judge
the new training, those of its golden set and of its validation split, fitted none of their weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.types import Clip
from pipelines.errors import VersioningError
from pipelines.number_text import count
from pipelines.registry.ancestry import ancestors, chain_text
from pipelines.registry.lineage import ids_digest
from pipelines.registry.registered_adapter import RegisteredAdapter
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.datasets.versions import TrainingData

Facts = frozenset[tuple[str, str, str, str]]
"""What a training learns of clips: id, transcript, label, and for ASV the speaker."""


@dataclass(frozen=True)
class LearningData:
    """The clips that a slot's training learns from, and where those of other trainings are read."""

    repository: str
    cache: Path
    slot: Slot
    present: Facts
    golden: frozenset[str]
    """Ids of the slot's golden set: who learned from one of them must not be judged on it."""
    validation: frozenset[str] = frozenset()
    """Ids of its validation clips: whose weights know one of them must not be compared, or stopped, by it."""
    read: dict[tuple[str, str], list[Clip] | str] = field(default_factory=dict, repr=False)
    """Clips by slot and version that were read before, or why they cannot be read."""

    @classmethod
    def of(cls, repository: str, cache: Path, slot: Slot, data: TrainingData) -> LearningData:
        """Return the learning data of a slot whose training reads `data`."""
        from pipelines.datasets.versions import golden_ids

        present = clip_facts(slot, (*data.train, *data.validation))
        validation = frozenset(clip.id for clip in data.validation)
        return cls(repository, cache, slot, present, golden_ids(repository, slot, cache), validation)


def clip_facts(slot: Slot, clips: Iterable[Clip]) -> Facts:
    """Return what a training of the slot's task learns of clips."""
    named = slot.task == "asv"
    return frozenset((clip.id, clip.text, clip.label, clip.speaker if named else "") for clip in clips)


def parent_obstacle(place: LearningData, parent: RegisteredAdapter, known: Mapping[str, RegisteredAdapter]) -> str:
    """Return why a training may not learn from an adapter because of its data; empty if it may.

    `known` are the registered adapters by the digest of their bundle.
    """
    if reason := _data_obstacle(place, parent):
        return reason
    for one in ancestors(parent.learned, known):
        chain = chain_text(parent.slot, parent.version, one.path)
        if one.adapter is None:
            return f"it learned from {one.learned.name}, of which the server has no record ({chain})"
        if reason := _data_obstacle(place, one.adapter):
            return f"it learned from {one.adapter.name} ({chain}): {reason}"
    return ""


def _data_obstacle(place: LearningData, adapter: RegisteredAdapter) -> str:
    if not adapter.dataset:
        return "its lineage statement is not on the server, so its training data is unknown"
    slot = Slot.parse(adapter.slot)
    clips = _clips(place, slot, adapter.dataset)
    if isinstance(clips, str):
        return f"its training data cannot be read: {clips}"
    if ids_digest(clip.id for clip in clips) != adapter.clips_digest:
        return f"its lineage names other clips than {adapter.dataset} has"
    present = place.present
    if slot != place.slot:
        newest = _clips(place, slot, "latest")
        present = clip_facts(slot, newest) if isinstance(newest, list) else frozenset()
    if gone := len(clip_facts(slot, clips) - present):
        return (
            f"{count(gone, 'clip')} of its training data were dropped from {slot}, corrected, or moved to another split"
        )
    if pinned := len({clip.id for clip in clips} & place.golden):
        return f"{count(pinned, 'clip')} of its training data are in the golden set of {place.slot}"
    if judging := len({clip.id for clip in clips if clip.split == "train"} & place.validation):
        return f"{count(judging, 'clip')} of its training split are in the validation split of {place.slot}"
    return ""


def is_clean(place: LearningData, made: RegisteredAdapter, known: Mapping[str, RegisteredAdapter]) -> bool:
    """Return whether a version that exists learned from no adapter that must not be learned from any more."""
    return not (made.learned and parent_obstacle(place, made, known))


def _clips(place: LearningData, slot: Slot, version: str) -> list[Clip] | str:
    """Return the clips of training and validation of a version, without their audio, or why they cannot be read."""
    from pipelines.datasets.versions import load_split

    key = str(slot), version
    if key not in place.read:
        try:
            place.read[key] = load_split(place.repository, version, slot, ("train", "validation"), place.cache, "meta")
        except VersioningError as error:
            place.read[key] = str(error)
    return place.read[key]
