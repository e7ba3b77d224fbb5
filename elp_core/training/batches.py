"""Training batches: augmented copies of clips, joined and padded, as values of the network's frozen prefix."""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import logging
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from elp_core.assemble import clip_values, prefix_cache
from elp_core.audio import Waveform, load
from elp_core.backbones import CNN, Backbone, Prefix
from elp_core.conditions import draw_conditions
from elp_core.conditions.disturbances import other_of
from elp_core.conditions.rooms import require_rooms
from elp_core.config import TrainConfig, to_dict
from elp_core.data.augment import augment_waveform, generator, mask_features
from elp_core.data.collate import collate_features
from elp_core.data.features import MEMORY_BYTES, RECORDING
from elp_core.data.sampler import join_groups, length_buckets
from elp_core.data.store import TensorStore
from elp_core.errors import TrainingError
from elp_core.tasks import Task
from elp_core.types import SAMPLE_RATE, Clip, Samples

log = logging.getLogger(__name__)

_WAVEFORM, _MASK, _CONDITIONS = 11, 12, 13
"""Numbers that keep the random streams of waveforms, masks and conditions apart."""
_FRAMES = 50
"""Frames in a second of audio, in the usual backbones."""


@dataclass(frozen=True)
class Batch:
    """One batch of B utterances with up to F frames and C feature channels."""

    ids: tuple[str, ...]
    """Ids of all clips in the batch."""
    values: torch.Tensor
    """Values of `TrainingBatches.prefix`: float32 CNN features [B, F, C], or states [n, B, F, D]."""
    counts: torch.Tensor
    """int64 [B], real frames."""
    targets: Any
    share: float = 1.0
    """Share of the whole batch's utterances that this process has."""


class TrainingBatches:
    """Batches of training clips, each a pure function of (seed, epoch, place in the epoch)."""

    def __init__(
        self,
        clips: Sequence[Clip],
        task: Task,
        backbone: Backbone,
        config: TrainConfig,
        prefix: Prefix = CNN,
        store: TensorStore | None = None,
    ) -> None:
        # batches are drawn by position: the caller's order must not change them
        self._clips = sorted(clips, key=lambda clip: clip.id)
        self._task = task
        self._backbone = backbone
        self._config = config
        augment = config.augment
        varies = any((augment.speed, augment.noise_probability, augment.gain_db, augment.margin, augment.conditions))
        if augment.conditions and "room" in augment.families:
            # refused here, and not after some epochs
            require_rooms()
        self._variants = augment.variants if varies else 1
        """Copies of a clip that the epochs take in turn; 0 makes a new copy in each epoch."""
        # masks and joints are made in the CNN features: the values of all later layers differ in each step
        remade = augment.time_mask > 0 or augment.feature_mask > 0 or (task.joins and augment.join > 0)
        self.prefix = CNN if remade else prefix
        """The part of the network that is already computed in the batches' values."""
        # a copy that no later epoch takes again is not worth the memory
        self._cache = prefix_cache(backbone, self.prefix, MEMORY_BYTES if self._variants else 0, store)
        self._drawn = json.dumps({"augment": to_dict(augment), "seed": config.seed}, sort_keys=True)
        self._keeps_copies = bool(store and self._variants and self._bytes() <= store.limit)

    def plan(self, epoch: int) -> list[list[tuple[int, ...]]]:
        """Return the epoch's batches as groups of clip positions; a group becomes one utterance."""
        augment, seed = self._config.augment, self._config.seed
        share = augment.join if self._task.joins else 0.0
        groups = join_groups(len(self._clips), share, augment.join_clips, seed, epoch)
        durations = [sum(self._clips[position].duration for position in group) for group in groups]
        # a small corpus gets smaller batches, because one or two steps an epoch learn too little
        budget = min(self._config.batch_seconds, sum(durations) / self._config.min_steps)
        batches = length_buckets(durations, budget, seed, epoch)
        return [[groups[number] for number in batch] for batch in batches]

    def batches(self, epoch: int, start: int = 0, part: int = 0, parts: int = 1) -> Iterator[Batch]:
        """Yield the epoch's batches from the place `start` on; of each, the share of process `part` of `parts`."""
        for place, groups in enumerate(self.plan(epoch)):
            if place >= start:
                yield self._batch(groups, epoch, place, part, parts)

    def _batch(self, whole: Sequence[tuple[int, ...]], epoch: int, place: int, part: int, parts: int) -> Batch:
        rows = range(part, len(whole), parts)
        share = len(rows) / len(whole)
        rows = rows or range(1)  # with more processes than utterances, this process repeats one with a weight of 0
        groups = [whole[row] for row in rows]
        pieces = [[self._values(position, epoch) for position in group] for group in groups]
        values, counts = collate_features([group[0] if len(group) == 1 else torch.cat(group) for group in pieces])
        if not self.prefix.states:
            for at, row in enumerate(rows):
                # one random stream per row, so that a mask does not depend on which process has the row
                rng = generator(self._config.seed, _MASK, epoch, place, row)
                own = slice(at, at + 1)
                values[own] = mask_features(values[own], counts[own], self._config.augment, rng)
        utterances = [join([self._clips[position] for position in group]) for group in groups]
        ids = tuple(self._clips[position].id for group in groups for position in group)
        return Batch(ids, values, counts, self._task.targets(utterances), share)

    def _values(self, position: int, epoch: int) -> torch.Tensor:
        """Return the prefix's values of one clip in the epoch's copy, computed without other clips of its batch."""
        clip = self._clips[position]
        variant = epoch % self._variants if self._variants else epoch

        def compute() -> torch.Tensor:
            samples = load(clip.audio)
            if variant:  # copy 0 is the recording without augmentation
                samples = self._copy(clip, samples, variant)
            return clip_values(self._backbone, self.prefix, samples)

        if not variant:
            return self._cache.get(clip.id, RECORDING, compute)
        facts = f"{self._drawn}\n{variant}\n{self._needed(clip)}"
        if self._conditions(clip, variant):
            facts += f"\n{self._of_conditions}"
        name = hashlib.sha256(facts.encode()).hexdigest()
        return self._cache.get(clip.id, name, compute, shared=self._keeps_copies)

    def _bytes(self) -> int:
        """Return about how much a store must hold for all copies, and as much for other slots."""
        frames = _FRAMES * sum(clip.duration for clip in self._clips) * self._variants
        return round(2 * frames * 2 * self._backbone.hidden_size * max(1, len(self.prefix.states)))

    def _needed(self, clip: Clip) -> Samples:
        """Return the shortest length of a copy: CTC needs a frame for each symbol of the target."""
        return self._backbone.samples_needed(self._task.frames_needed(clip))

    def _copy(self, clip: Clip, samples: Waveform, variant: int) -> Waveform:
        """Return one augmented copy of a clip's samples."""
        augment, conditions = self._config.augment, self._conditions(clip, variant)
        if conditions:
            augment = dataclasses.replace(augment, noise_probability=0.0)
        rng = generator(self._config.seed, _WAVEFORM, variant, _number(clip))
        # a faster copy is shorter
        copy = augment_waveform(samples, augment, rng, self._needed(clip))
        return draw_conditions(copy, augment.families, other_of(clip, self._clips), conditions) if conditions else copy

    def _conditions(self, clip: Clip, variant: int) -> np.random.Generator | None:
        """Return what draws the conditions of a copy; None if it gets none."""
        rng = generator(self._config.seed, _CONDITIONS, variant, _number(clip))
        return rng if rng.random() < self._config.augment.conditions else None

    @functools.cached_property
    def _of_conditions(self) -> str:
        """What copies with conditions depend on in addition: codecs and rooms are packages', voices other clips'."""
        facts = [f"{name} {_installed(name)}" for name in ("soundfile", "pyroomacoustics")]
        if "babble" in self._config.augment.families:
            facts += [f"{clip.id} {clip.speaker}" for clip in self._clips]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _number(clip: Clip) -> int:
    # not `hash`, which differs between processes
    return zlib.crc32(clip.id.encode())


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def join(clips: Sequence[Clip]) -> Clip:
    """Return the clips end to end as one clip without audio; a single clip is returned unchanged."""
    if len(clips) == 1:
        return clips[0]
    return dataclasses.replace(
        clips[0],
        id="+".join(clip.id for clip in clips),
        audio=b"",
        duration=sum(clip.duration for clip in clips),
        text=" ".join(clip.text for clip in clips),
    )


def trainable_clips(
    task: Task, backbone: Backbone, train_clips: Sequence[Clip], validation_clips: Sequence[Clip]
) -> tuple[list[Clip], tuple[str, ...]]:
    """Return the training clips that are long enough, and the ids of those with fewer frames than their target needs.

    Raises:
        TrainingError: No training clip is long enough, or there are no validation clips.
    """
    fit: list[Clip] = []
    short: list[str] = []
    for clip in train_clips:
        if round(clip.duration * SAMPLE_RATE) >= backbone.samples_needed(task.frames_needed(clip)):
            fit.append(clip)
        else:
            short.append(clip.id)
    if not fit or not validation_clips:
        raise TrainingError(
            f"{len(fit)} usable training clips of {len(train_clips)} and {len(validation_clips)} validation clips; "
            "expected one or more of each"
        )
    if short:
        counts = f"{len(short)} of {len(train_clips)}"
        log.warning(
            "%s training clips have fewer frames than their target needs, such as %s: left out", counts, short[0]
        )
    return fit, tuple(short)
