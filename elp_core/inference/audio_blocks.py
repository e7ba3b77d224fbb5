"""A recording of any length as blocks of mono float32 at 16 kHz: memory depends on the block, not on the recording."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from elp_core.audio import Waveform, probe, resample
from elp_core.errors import AudioError
from elp_core.media import is_media_format, media_blocks
from elp_core.types import SAMPLE_RATE, Hertz, Seconds

BLOCK_SECONDS = 30
"""Whole seconds: a block then begins on a sample of both rates."""
_CONTEXT = 1
"""Seconds around a block that are resampled with it and cut off again; the kernels are shorter."""


def audio_blocks(source: Path | str | bytes, channel: int | None = None) -> Iterator[Waveform]:
    """Yield a recording as float32 [samples] of about 30 s each, mono at 16 kHz.

    Law: the blocks joined are what `elp_core.audio.load` returns for the same file, to 1e-6; there is no limit of
    length. `channel` (from 0) takes one channel; None mixes them.

    Raises:
        AudioError: `missing`, `empty`, `corrupt`, `nan` or `no_channel`; the message names the time if there is one.
    """
    info = probe(source)
    read = media_blocks if is_media_format(info.format) else _decoded
    yield from _at_16_khz(_mono(read(source, BLOCK_SECONDS * info.rate), channel, info.rate), info.rate)


def _decoded(source: Path | str | bytes, samples: int) -> Iterator[Waveform]:
    """Yield float32 [samples, channels] at the file's own rate."""
    name = f"audio of {len(source)} bytes" if isinstance(source, bytes) else str(source)
    done, rate = 0, 1
    try:
        with soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else name) as file:
            rate = file.samplerate
            for block in file.blocks(samples, dtype="float32", always_2d=True):
                yield block
                done += len(block)
    except soundfile.LibsndfileError as error:
        raise AudioError("corrupt", f"{name} breaks off after {done / rate:.1f} s: {error}") from error
    if not done:
        raise AudioError("empty", f"{name} has a header and no samples")


def _mono(blocks: Iterable[Waveform], channel: int | None, rate: Hertz) -> Iterator[Waveform]:
    done = 0
    for block in blocks:
        channels = block.shape[1]
        if channel is not None and channel >= channels:
            raise AudioError("no_channel", f"channel {channel} is asked for, the file has {channels}, counted from 0")
        one = block[:, channel or 0] if channel is not None or channels == 1 else block.mean(axis=1, dtype=np.float32)
        if not np.isfinite(one).all():
            at = done + int(np.flatnonzero(~np.isfinite(one))[0])
            raise AudioError("nan", f"the sample at {at / rate:.3f} s is not a finite number; export the file again")
        done += len(one)
        yield np.ascontiguousarray(one)


def _at_16_khz(blocks: Iterable[Waveform], rate: Hertz) -> Iterator[Waveform]:
    if rate == SAMPLE_RATE:
        yield from (block for block in blocks if len(block))
        return
    held, before = np.zeros(0, np.float32), 0
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= (before + BLOCK_SECONDS + _CONTEXT) * rate:
            piece = resample(held[: (before + BLOCK_SECONDS + _CONTEXT) * rate], rate)
            yield piece[before * SAMPLE_RATE : (before + BLOCK_SECONDS) * SAMPLE_RATE]
            held = held[(before + BLOCK_SECONDS - _CONTEXT) * rate :]
            before = _CONTEXT
    rest = resample(held, rate)[before * SAMPLE_RATE :] if len(held) else held
    if len(rest):
        yield rest


def fixed_blocks(samples: Waveform, seconds: Seconds = BLOCK_SECONDS) -> Iterator[Waveform]:
    """Yield float32 [samples] at 16 kHz, which are in memory already, in blocks of `seconds`."""
    size = max(1, round(seconds * SAMPLE_RATE))
    for start in range(0, len(samples), size):
        yield samples[start : start + size]
