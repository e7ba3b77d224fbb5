"""Open and decode sound files under bounds: none takes more time or memory than its length explains."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from elp_core.containers import content_of, file_length
from elp_core.containers.mp3 import uncounted
from elp_core.errors import AudioError
from elp_core.media import MediaFile, is_media
from elp_core.sound_streams import counted_stream, readable_stream
from elp_core.types import Hertz, Seconds

MAX_SECONDS: Seconds = 3600.0
"""Longer recordings are not decoded as a whole."""
MAX_CHANNELS = 64
MIN_RATE: Hertz = 1_000
MAX_RATE: Hertz = 768_000
MAX_VALUES = 2 * 48_000 * 3600
"""Samples times channels that are decoded at once: an hour of 48 kHz stereo, 1.3 GiB."""
_BLOCK_VALUES = 2**22
_FULL_SCALE = 1.0 + 2.0**-15
"""A float sample up to this magnitude has a 16-bit value; beyond, its scale is unknown."""


@dataclass(frozen=True)
class AudioInfo:
    """The header of an audio file."""

    seconds: Seconds
    """If the header names no length, as in a streamed file, that of the content."""
    rate: Hertz
    channels: int
    format: str
    """Container and encoding, such as ``WAV/PCM_16``."""


def name_of(source: Path | str | bytes) -> str:
    """Return how messages call a source."""
    return f"audio of {len(source)} bytes" if isinstance(source, bytes) else str(source)


@contextlib.contextmanager
def opened(source: Path | str | bytes) -> Iterator[Any]:
    """Open a file with libsndfile as a `soundfile.SoundFile`; a streamed WAV, RF64 or FLAC file to its end.

    What libsndfile does not know and PyAV does is opened as an `elp_core.media.MediaFile`.

    Raises:
        AudioError: `missing`, `empty` (no bytes), `corrupt` (no format that libsndfile or PyAV knows), `no_audio` (a
            video without sound) or `no_media_package` (PyAV would know it, and is not installed).
    """
    stream = readable_stream(source)
    try:
        with contextlib.closing(stream) if isinstance(stream, io.IOBase) else contextlib.nullcontext():
            try:
                file = soundfile.SoundFile(stream)
            except soundfile.LibsndfileError as error:
                if is_media(source):
                    with MediaFile(source) as media:
                        yield media
                    return
                raise AudioError("corrupt", f"{name_of(source)} cannot be read as audio: {_cause(error)}") from error
            with file:
                counted = counted_stream(source, file.frames) if file.format == "MP3" else None
                if counted is None:
                    yield file
                    return
            with counted, soundfile.SoundFile(counted) as file:
                yield file
    except soundfile.LibsndfileError as error:
        raise AudioError("corrupt", f"{name_of(source)} breaks off while decoding: {_cause(error)}") from error


def info_of(source: Path | str | bytes, file: Any) -> AudioInfo:
    """Return the header of an open file; `source` is asked for the length if the header does not name it."""
    seconds = file.frames / file.samplerate
    if file.format == "MP3":
        # libsndfile guesses the length of one that does not count its frames
        with content_of(source) as content:
            guessed = uncounted(content)
        seconds = guessed.seconds if guessed and guessed.samples else seconds
    if file.frames >= 2**62:
        # libsndfile's mark of an unknown length
        with content_of(source) as content:
            found = file_length(content)
        seconds = found.content if found and found.content is not None else float("inf")
    return AudioInfo(seconds, file.samplerate, file.channels, f"{file.format}/{file.subtype}")


def require_bounds(source: Path | str | bytes, info: AudioInfo) -> None:
    """Refuse what no recording of speech has.

    Raises:
        AudioError: `sample_rate` (outside 1 kHz to 768 kHz) or `channels` (more than 64).
    """
    if not MIN_RATE <= info.rate <= MAX_RATE:
        raise AudioError(
            "sample_rate",
            f"{name_of(source)} has {info.rate:,} samples a second, expected {MIN_RATE:,} to {MAX_RATE:,}; "
            "its header is wrong, export it again",
        )
    if info.channels > MAX_CHANNELS:
        raise AudioError(
            "channels",
            f"{name_of(source)} has {info.channels:,} channels, expected {MAX_CHANNELS} or fewer; export it again",
        )


def read_frames(
    source: Path | str | bytes, file: Any, info: AudioInfo, frames: int | None = None
) -> npt.NDArray[np.float32]:
    """Decode `frames` frames from the present place of an open file (None: all) as float32 [frames, channels].

    Raises:
        AudioError: `too_long` (over an hour, or more samples than fit in memory), `nan` (a sample is not a finite
            number) or `beyond_full_scale` (a float file has a sample beyond ±1).
    """
    limit = min(int(MAX_SECONDS * info.rate), MAX_VALUES // info.channels)
    step = max(_BLOCK_VALUES // info.channels, 1)
    blocks: list[npt.NDArray[np.float32]] = []
    done = 0
    while frames is None or done < frames:
        # one more than the limit: a header may announce less than the decoder gives
        count = min(step, limit + 1 - done) if frames is None else min(step, frames - done)
        block = file.read(count, dtype="float32", always_2d=True)
        done += len(block)
        if done > limit:
            raise too_long(source, max(info.seconds, done / info.rate))
        if len(block):
            blocks.append(block)
        if len(block) < count:
            break
    samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks) if blocks else _nothing(info)
    _require_plain(source, samples, info)
    return samples


def too_long(source: Path | str | bytes, seconds: Seconds) -> AudioError:
    """Return the error of a file that is too long to be decoded as a whole."""
    lasts = f"lasts {seconds / 3600:.1f} h" if seconds < 1e6 else "names no end"
    return AudioError("too_long", f"{name_of(source)} {lasts}, expected at most 1 h; cut it")


def _require_plain(source: Path | str | bytes, samples: npt.NDArray[np.float32], info: AudioInfo) -> None:
    if not samples.size:
        return
    low, high = float(samples.min()), float(samples.max())
    # a NaN is the minimum of whatever it is among
    if not (np.isfinite(low) and np.isfinite(high)):
        raise AudioError("nan", f"{name_of(source)} contains samples that are not finite numbers; export it again")
    if info.format.endswith(("/FLOAT", "/DOUBLE")) and max(-low, high) > _FULL_SCALE:
        raise AudioError(
            "beyond_full_scale",
            f"{name_of(source)} has float samples up to {max(-low, high):.4g}, expected -1 to 1; "
            "export it with full scale at ±1",
        )


def _nothing(info: AudioInfo) -> npt.NDArray[np.float32]:
    return np.zeros((0, info.channels), np.float32)


def _cause(error: Exception) -> str:
    """Return libsndfile's sentence without the name of the Python object that it read from."""
    text = str(error)
    head, _, tail = text.partition(": ")
    return tail if head.startswith("Error opening") and tail else text
