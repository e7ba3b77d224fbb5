"""From a source clip to a measured row: decode, cut, mix noise, encode; in worker processes for large deliveries."""

import hashlib
import multiprocessing
import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field

from elp_core.audio import MIN_SAMPLES, Waveform, clip_id, load, probe
from elp_core.data.corpus import ShardRow, make_row
from elp_core.errors import AudioError
from elp_core.languages import LanguageConfig
from elp_core.types import SAMPLE_RATE, Split
from pipelines.datasets.delivery import ClipFault, DeliveryOptions, SourceClip
from pipelines.registry.policies import DataPolicy

_CHUNK = 64
_OBJECT = re.compile(r"<_io\.BytesIO object at 0x[0-9a-f]+>")
"""The decoder's name for bytes in memory."""
_POOL_FROM = 1000
"""Number of clips from which worker processes save more time than they take to start (they import torch)."""


@dataclass(frozen=True)
class IntakeSettings:
    """What a worker needs in addition to the clip."""

    policy: DataPolicy
    options: DeliveryOptions
    delivery: str
    """Short name of the delivery."""
    language: LanguageConfig = field(default_factory=LanguageConfig)


def measure_clips(
    clips: Sequence[SourceClip], settings: IntakeSettings, workers: int | None = None
) -> Iterator[ShardRow | ClipFault]:
    """Yield the row or the fault of every clip, in order. At most a few hundred rows are in memory at once.

    `workers` is the number of processes: by default as many as there are cores, at most 8.
    """
    count = workers if workers is not None else min(os.cpu_count() or 1, 8)
    if len(clips) < _POOL_FROM or count < 2:
        yield from (measure_clip(clip, settings) for clip in clips)
        return
    # spawn, because a fork would copy the locks of a threaded parent; threads would wait for the interpreter's lock
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_single_thread) as pool:
        pending: deque[Future[list[ShardRow | ClipFault]]] = deque()
        try:
            for start in range(0, len(clips), _CHUNK):
                pending.append(pool.submit(_measure_chunk, clips[start : start + _CHUNK], settings))
                # two chunks for each worker: none is idle while the oldest chunk is waited for
                if len(pending) >= 2 * count:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def measure_clip(clip: SourceClip, settings: IntakeSettings) -> ShardRow | ClipFault:
    """Decode and measure one clip; anything that is wrong with it becomes a `ClipFault`."""
    if clip.fault:
        return clip.fault
    try:
        rate = probe(clip.audio).rate
        samples = _mixed(_cut(load(clip.audio), clip), settings.options)
    except AudioError as error:
        # the quarantine record names the clip, and no path of this machine
        called = f"audio of {len(clip.audio)} bytes" if isinstance(clip.audio, bytes) else str(clip.audio)
        return ClipFault(error.reason, _OBJECT.sub("it", str(error)).replace(called, clip.path))
    policy = settings.policy
    return make_row(
        samples,
        split=clip.split or split_of(clip.speaker or clip_id(samples), policy.validation_share, policy.test_share),
        text=settings.language.resolve().normalise(clip.text),
        speaker=clip.speaker,
        label=clip.label,
        condition=settings.options.forced_condition or clip.condition,
        path=clip.path,
        source_rate=rate,
        delivery=settings.delivery,
    )


def split_of(key: str, validation_share: float, test_share: float) -> Split:
    """Return the split of everything that shares `key`: a pure function, so that new data never moves a clip.

    The key is the speaker's name, or the clip's id if no speaker is known. Its SHA-256 is read as a number in [0, 1):
    the lowest `test_share` is test, the next `validation_share` validation, the rest train.
    """
    digest = hashlib.sha256(f"split:{key}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < test_share:
        return "test"
    return "validation" if place < test_share + validation_share else "train"


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
    """Add noise that depends on the clip's own sound only: a recording gets the same noise on any machine."""
    if not options.noise:
        return samples
    from elp_core.data.noise import factory_noise, mix

    return mix(samples, factory_noise(len(samples), int(clip_id(samples)[:8], 16)), options.snr)


def _single_thread() -> None:
    """Keep torch, which resamples, from starting as many threads as there are cores in every worker."""
    os.environ["OMP_NUM_THREADS"] = "1"


def _measure_chunk(chunk: Sequence[SourceClip], settings: IntakeSettings) -> list[ShardRow | ClipFault]:
    return [measure_clip(clip, settings) for clip in chunk]
