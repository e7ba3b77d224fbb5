"""What training learns from in each epoch: clips in varied copies, joined, batched, as what the frozen prefix gives."""

from __future__ import annotations

import dataclasses
import logging
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from elp_core.assemble import clip_values, prefix_cache
from elp_core.audio import MIN_SAMPLES, load
from elp_core.backbones import CNN, Backbone, Prefix
from elp_core.config import AugmentConfig, TrainConfig
from elp_core.data.augment import augment_waveform, generator, mask_features
from elp_core.data.collate import collate_features
from elp_core.data.features import MEMORY_BYTES, RECORDING
from elp_core.data.sampler import join_groups, length_buckets
from elp_core.data.store import TensorStore
from elp_core.errors import TrainingError
from elp_core.tasks import Task
from elp_core.types import SAMPLE_RATE, Clip, Samples

log = logging.getLogger(__name__)

HOP: Samples = 320
_WAVEFORM, _MASK = 11, 12


@dataclass(frozen=True)
class Example:
    """One batch. B utterances of up to F frames, C feature channels."""

    ids: tuple[str, ...]
    """Every clip in it."""
    values: torch.Tensor
    """What `Examples.prefix` keeps: float32 CNN features [B, F, C], or states [n, B, F, D]."""
    counts: torch.Tensor
    """int64 [B]."""
    targets: Any
    share: float = 1.0
    """Of the whole batch's utterances, those that are here."""


class Examples:
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
        self._clips = sorted(clips, key=lambda clip: clip.id)
        self._task = task
        self._backbone = backbone
        self._config = config
        augment = config.augment
        # masks and joints are made in the CNN features: everything after those is new each time
        remade = augment.time_mask > 0 or augment.feature_mask > 0 or (task.joins and augment.join > 0)
        self.prefix = CNN if remade else prefix
        """How far the network was run for the batches."""
        # without turns there is nothing to keep in memory: each epoch draws anew
        self._cache = prefix_cache(backbone, self.prefix, MEMORY_BYTES if _turns(augment) else 0, store)

    def plan(self, epoch: int) -> list[list[tuple[int, ...]]]:
        """Batches of groups of clip positions; a group becomes one utterance."""
        augment, seed = self._config.augment, self._config.seed
        share = augment.join if self._task.joins else 0.0
        groups = join_groups(len(self._clips), share, augment.join_clips, seed, epoch)
        durations = [sum(self._clips[position].duration for position in group) for group in groups]
        budget = min(self._config.batch_seconds, sum(durations) / self._config.min_steps)
        batches = length_buckets(durations, budget, seed, epoch)
        return [[groups[number] for number in batch] for batch in batches]

    def batches(self, epoch: int, start: int = 0, part: int = 0, parts: int = 1) -> Iterator[Example]:
        """The epoch's batches from the place `start` on; of each, the part that is process `part`'s of `parts`."""
        for place, groups in enumerate(self.plan(epoch)):
            if place >= start:
                yield self._example(groups, epoch, place, part, parts)

    def _example(self, whole: Sequence[tuple[int, ...]], epoch: int, place: int, part: int, parts: int) -> Example:
        rows = range(part, len(whole), parts)
        share = len(rows) / len(whole)
        rows = rows or range(1)  # more processes than utterances: this one's counts for nothing
        groups = [whole[row] for row in rows]
        heard = [[self._values(position, epoch) for position in group] for group in groups]
        values, counts = collate_features([pieces[0] if len(pieces) == 1 else torch.cat(pieces) for pieces in heard])
        if not self.prefix.states:
            for at, row in enumerate(rows):  # each by its own numbers, whoever else is in the batch
                rng = generator(self._config.seed, _MASK, epoch, place, row)
                own = slice(at, at + 1)
                values[own] = mask_features(values[own], counts[own], self._config.augment, rng)
        utterances = [join([self._clips[position] for position in group]) for group in groups]
        ids = tuple(self._clips[position].id for group in groups for position in group)
        return Example(ids, values, counts, self._task.targets(utterances), share)

    def _values(self, position: int, epoch: int) -> torch.Tensor:
        """The prefix's values of one clip in the copy whose turn it is, heard alone so that its batch has no part."""
        clip, augment = self._clips[position], self._config.augment
        turns = _turns(augment)
        variant = epoch % turns if turns else epoch

        def compute() -> torch.Tensor:
            samples = load(clip.audio)
            if variant:  # copy 0 is the recording as it is
                rng = generator(self._config.seed, _WAVEFORM, variant, zlib.crc32(clip.id.encode()))
                needed = MIN_SAMPLES + HOP * (self._task.frames_needed(clip) - 1)
                samples = augment_waveform(samples, augment, rng, needed)
            return clip_values(self._backbone, self.prefix, samples)

        return self._cache.get(clip.id, f"{self._config.seed}.{variant}" if variant else RECORDING, compute)


def join(clips: Sequence[Clip]) -> Clip:
    """Clips end to end as one, without audio; one clip stays itself."""
    if len(clips) == 1:
        return clips[0]
    return dataclasses.replace(
        clips[0],
        id="+".join(clip.id for clip in clips),
        audio=b"",
        duration=sum(clip.duration for clip in clips),
        text=" ".join(clip.text for clip in clips),
    )


def split_short(clips: Sequence[Clip], task: Task) -> tuple[list[Clip], list[Clip]]:
    """Clips that can be learned from, and those with fewer frames than their target needs."""
    fit: list[Clip] = []
    short: list[Clip] = []
    for clip in clips:
        frames = (round(clip.duration * SAMPLE_RATE) - MIN_SAMPLES) // HOP + 1
        (fit if frames >= task.frames_needed(clip) else short).append(clip)
    return fit, short


def usable(
    task: Task, train_clips: Sequence[Clip], validation_clips: Sequence[Clip]
) -> tuple[list[Clip], tuple[str, ...]]:
    """Clips that can be learned from, and the ids of those with fewer frames than their target needs.

    Raises:
        TrainingError: where nothing is left to train on, or there is nothing to validate with.
    """
    fit, short = split_short(train_clips, task)
    if not fit or not validation_clips:
        raise TrainingError(
            f"{len(fit)} usable training clips of {len(train_clips)} and {len(validation_clips)} validation clips; "
            "expected one or more of each"
        )
    if short:
        log.warning(
            "%d of %d training clips have fewer frames than their target needs and are left out, such as %s",
            len(short),
            len(train_clips),
            short[0].id,
        )
    return fit, tuple(clip.id for clip in short)


def _turns(augment: AugmentConfig) -> int:
    """Copies of a clip that epochs take in turn; one where nothing varies, 0 where each epoch draws anew."""
    varies = augment.speed > 0 or augment.noise_probability > 0 or augment.gain_db > 0
    return augment.variants if varies else 1
