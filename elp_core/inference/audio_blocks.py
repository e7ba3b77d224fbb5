"""A recording of any length as blocks of mono float32 at 16 kHz: memory depends on the block, not on the recording."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from elp_core.audio import Waveform, differing_channels, resample
from elp_core.channels import Channel, take_channel
from elp_core.errors import AudioError
from elp_core.sound_files import info_of, name_of, opened, read_frames, require_bounds
from elp_core.types import SAMPLE_RATE, Hertz, Seconds

BLOCK_SECONDS = 30
"""Whole seconds: a block then begins on a sample of both rates."""
_CONTEXT = 1
"""Seconds around a block that are resampled with it and cut off again; the kernels are shorter."""


def audio_blocks(source: Path | str | bytes, channel: Channel = "mix") -> Iterator[Waveform]:
    """Yield a recording as float32 [samples] of about 30 s each, mono at 16 kHz.

    Law: the blocks joined are what `elp_core.audio.load` returns for the same file, to 1e-6; there is no limit of
    length. `channel` is as for `load`.

    Raises:
        AudioError: `missing`, `empty`, `corrupt`, `nan`, `beyond_full_scale`, `sample_rate`, `channels`, `no_channel`
            or `channels_differ`, and those of `elp_core.media.MediaFile`.
    """
    with opened(source) as file:
        info = info_of(source, file)
        require_bounds(source, info)
        if channel in ("left", "right") and info.channels == 2:
            # decided for the recording, not for each block: in some of them both sides may be silent
            channel = ("left", "right").index(channel) if differing_channels(source) > 1 else "mix"

        def mono() -> Iterator[Waveform]:
            while len(block := read_frames(source, file, info, BLOCK_SECONDS * info.rate)):
                yield np.ascontiguousarray(take_channel(block, info.rate, channel, name_of(source)))

        empty = True
        for block in _at_16_khz(mono(), info.rate):
            empty = False
            yield block
        if empty:
            raise AudioError("empty", f"{name_of(source)} has a header and no samples")


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
