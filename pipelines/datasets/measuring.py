"""From a source clip to a measured row: decode, cut, mix noise, encode; in worker processes where it is worth it."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from elp_core.audio import MIN_SAMPLES, Waveform, clip_id, load, probe
from elp_core.data.corpus import ShardRow, make_row
from elp_core.data.text import normalise
from elp_core.errors import AudioError
from elp_core.types import SAMPLE_RATE, Split
from pipelines.datasets.delivery_options import DeliveryOptions
from pipelines.datasets.source_clip import Fault, SourceClip
from pipelines.datasets.splits import split_of
from pipelines.registry.policies import DataPolicy

_CHUNK = 64
_OBJECT = re.compile(r"<_io\.BytesIO object at 0x[0-9a-f]+>")
"""How the decoder names bytes that came out of an archive."""
_POOL_FROM = 1000
"""Clips from which worker processes are worth their start (they import torch to resample)."""


@dataclass(frozen=True)
class Recipe:
    """What a worker needs to know besides the clip."""

    policy: DataPolicy
    options: DeliveryOptions
    delivery: str


@dataclass(frozen=True)
class Taken:
    """What became of the clip at `index` of the delivery: a row, or a fault."""

    index: int
    clip: SourceClip
    """Without its audio."""
    outcome: ShardRow | Fault


def process(clips: Iterable[SourceClip], total: int, recipe: Recipe, workers: int | None = None) -> Iterator[Taken]:
    """Every clip's outcome, in order. At most a few hundred clips are in memory at once.

    Args:
        clips: as an importer yields them.
        total: how many there are (decides whether processes are started).
        recipe: shared by all clips.
        workers: processes; None means as many as there are cores, at most 8.
    """
    count = workers if workers is not None else min(os.cpu_count() or 1, 8)
    numbered = enumerate(clips)
    if total < _POOL_FROM or count < 2:
        for index, clip in numbered:
            yield take(index, clip, recipe)
        return
    # threads would fight for the interpreter, and a fork would copy the locks of a threaded parent
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_single_thread) as pool:
        pending: deque[Future[list[Taken]]] = deque()
        try:
            while chunk := list(itertools.islice(numbered, _CHUNK)):
                pending.append(pool.submit(_take_chunk, chunk, recipe))
                if len(pending) >= 2 * count:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def take(index: int, clip: SourceClip, recipe: Recipe) -> Taken:
    """Decode and measure one clip; whatever is wrong with it becomes a `Fault`."""
    bare = replace(clip, audio=b"")
    if clip.fault:
        return Taken(index, bare, clip.fault)
    try:
        rate = probe(clip.audio).rate
        samples = _mixed(_cut(load(clip.audio), clip), recipe.options)
    except AudioError as error:
        return Taken(index, bare, Fault(error.reason, _OBJECT.sub("it", str(error))))
    row = make_row(
        samples,
        split=clip.split or _split(clip, samples, recipe.policy),
        text=normalise(clip.text),
        speaker=clip.speaker,
        label=clip.label,
        condition=recipe.options.forced_condition or clip.condition,
        path=clip.path,
        source_rate=rate,
        delivery=recipe.delivery,
    )
    return Taken(index, bare, row)


def audio_bytes(audio: Path | bytes) -> bytes:
    """The file as it came."""
    return audio if isinstance(audio, bytes) else audio.read_bytes()


def _split(clip: SourceClip, samples: Waveform, policy: DataPolicy) -> Split:
    return split_of(clip.speaker or clip_id(samples), policy.validation_share, policy.test_share)


def _cut(samples: Waveform, clip: SourceClip) -> Waveform:
    begin = round(clip.start * SAMPLE_RATE)
    end = len(samples) if clip.seconds is None else begin + round(clip.seconds * SAMPLE_RATE)
    if end > len(samples) + SAMPLE_RATE // 10 or begin >= len(samples):
        lasts = len(samples) / SAMPLE_RATE
        raise AudioError("out_of_file", f"the clip ends at {end / SAMPLE_RATE:.2f} s, its file lasts {lasts:.2f} s")
    cut = samples[begin:end]
    if len(cut) < MIN_SAMPLES:
        raise AudioError("too_short", f"the clip lasts {len(cut) / SAMPLE_RATE:.4f} s, expected 25 ms or more")
    return cut


def _mixed(samples: Waveform, options: DeliveryOptions) -> Waveform:
    """With noise that only the clip's own sound decides: the same recording gets the same noise on any machine."""
    if not options.noise:
        return samples
    from elp_core.data.noise import factory_noise, mix

    return mix(samples, factory_noise(len(samples), int(clip_id(samples)[:8], 16)), options.snr)


def _single_thread() -> None:
    """Keep torch, where resampling needs it, from starting as many threads as there are cores in every worker."""
    os.environ["OMP_NUM_THREADS"] = "1"


def _take_chunk(chunk: list[tuple[int, SourceClip]], recipe: Recipe) -> list[Taken]:
    return [take(index, clip, recipe) for index, clip in chunk]
