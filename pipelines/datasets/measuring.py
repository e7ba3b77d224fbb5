"""From a source clip to a measured row: decode, cut, mix noise, encode.

No file can hold up a delivery or end it: what decodes is another process, which is ended when it takes too long or too
much memory. Only plain samples, which are the bytes of their file, are read in this one.
"""

import functools
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from elp_core.audio import Waveform, clip_id
from elp_core.data.corpus import ShardRow, make_row
from elp_core.data.recordings import split_place
from elp_core.errors import AudioError
from elp_core.languages import LanguageConfig
from elp_core.sound_files import name_of
from elp_core.types import Split
from pipelines.datasets.clip_reading import forget_recordings, read_clip
from pipelines.datasets.delivery import ClipFault, DeliveryOptions, SourceClip
from pipelines.datasets.worker_processes import ITEM_SECONDS, WorkerProcess, alarm, in_workers, needs_no_bound
from pipelines.registry.policies import DataPolicy

_CHUNK = 64
_FILE_CHUNK = 512
"""Clips of one file that go to one worker."""
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
    if not is_large(clips) or count < 2:
        try:
            yield from _measured_here(clips, settings)
        finally:
            forget_recordings()
        return
    for measured in in_workers(functools.partial(_measure_chunk, settings), _chunks(clips), count, lost_clip):
        yield from measured


def is_large(clips: Sequence[SourceClip]) -> bool:
    """Return whether a delivery is worth the start of several processes."""
    return len(clips) >= _POOL_FROM


def measure_here(settings: IntakeSettings, clips: Sequence[SourceClip]) -> list[ShardRow | ClipFault]:
    """Return the row or the fault of every clip, measured by this process and one more, which a clip may end."""
    try:
        return list(_measured_here(clips, settings))
    finally:
        forget_recordings()


def _measured_here(clips: Sequence[SourceClip], settings: IntakeSettings) -> Iterator[ShardRow | ClipFault]:
    work = functools.partial(measure_clip, settings=settings)
    with WorkerProcess() as process:
        for chunk in _chunks(clips):
            for plain, run in itertools.groupby(chunk, _needs_no_bound):
                some = list(run)
                yield from map(work, some) if plain else process.each(work, some, lost_clip)


def _needs_no_bound(clip: SourceClip) -> bool:
    return clip.fault is not None or needs_no_bound(clip.audio)


def measure_clip(clip: SourceClip, settings: IntakeSettings) -> ShardRow | ClipFault:
    """Decode and measure one clip; anything that is wrong with it becomes a `ClipFault`."""
    if clip.fault:
        return clip.fault
    try:
        return _measured(clip, settings)
    except AudioError as error:
        # the quarantine record names the clip, and no path of this machine
        detail = str(error).replace(name_of(clip.audio), clip.path)
        if error.reason == "channels_differ":
            detail += "; --channel each takes every channel, each with its own speaker"
        return ClipFault(error.reason, detail)
    except ImportError:
        # that is no fault of the clip: every one would fail
        raise
    except Exception as error:
        # decoders and their wrappers raise what they like at bytes that nobody foresaw
        cause = f"{type(error).__name__}: {error}".replace(name_of(clip.audio), clip.path)
        return ClipFault("unreadable", f"{clip.path} cannot be measured ({cause}); export it again")


def _measured(clip: SourceClip, settings: IntakeSettings) -> ShardRow:
    samples, rate = read_clip(clip, settings.options)
    samples, policy = _mixed(samples, settings.options), settings.policy
    return make_row(
        samples,
        split=clip.split or split_of(clip.speaker or clip_id(samples), policy.validation_share, policy.test_share),
        text=settings.language.transcript(clip.text),
        speaker=clip.speaker,
        label=clip.label,
        condition=settings.options.condition_of(clip),
        path=clip.path,
        source_rate=rate,
        delivery=settings.delivery,
        teacher=clip.teacher,
        group=clip.group,
    )


def split_of(key: str, validation_share: float, test_share: float) -> Split:
    """Return the split of everything that shares `key`: a pure function, so that new data never moves a clip.

    The key is the speaker's name, or the clip's id if no speaker is known. Its SHA-256 is read as a number in [0, 1):
    the lowest `test_share` is test, the next `validation_share` validation, the rest train.
    """
    place = split_place(key)
    if place < test_share:
        return "test"
    return "validation" if place < test_share + validation_share else "train"


def _mixed(samples: Waveform, options: DeliveryOptions) -> Waveform:
    """Add noise that depends on the clip's own sound only: a recording gets the same noise on any machine."""
    if not options.noise:
        return samples
    from elp_core.data.noise import factory_noise, mix

    return mix(samples, factory_noise(len(samples), int(clip_id(samples)[:8], 16)), options.snr)


def _measure_chunk(settings: IntakeSettings, chunk: Sequence[SourceClip]) -> list[ShardRow | ClipFault]:
    """Measure clips in a worker process. A clip that takes too long ends the process, and is found by that."""
    measured = []
    for clip in chunk:
        with alarm():
            measured.append(measure_clip(clip, settings))
    return measured


def lost_clip(clip: SourceClip) -> ClipFault:
    """Return the fault of a clip that ended the process that worked on it."""
    return ClipFault(
        "unreadable",
        f"{clip.path} ended the process that read it, for lack of memory or after {ITEM_SECONDS} s; export it again",
    )


def _chunks(clips: Sequence[SourceClip]) -> Iterator[list[SourceClip]]:
    """Yield the clips in chunks; those of one file share a chunk up to a number, since a worker decodes it once."""
    chunk: list[SourceClip] = []
    for clip in clips:
        same = bool(chunk and clip.sha256 and clip.sha256 == chunk[-1].sha256)
        if len(chunk) >= (_FILE_CHUNK if same else _CHUNK):
            yield chunk
            chunk = []
        chunk.append(clip)
    if chunk:
        yield chunk
