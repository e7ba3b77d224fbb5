"""Sound of the containers that libsndfile does not read: m4a, AAC, AMR, WebM, WMA, and videos, by PyAV (FFmpeg).

The package is optional (the extra ``media``); its wheel contains FFmpeg. Only the demuxers and the file protocol of the
list below are allowed: a playlist that names other files or addresses is not opened.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from elp_core.errors import AudioError
from elp_core.types import Hertz, Seconds

FORMATS = (
    *("aac", "amr", "asf", "avi", "caf", "flv", "matroska,webm", "matroska", "webm", "mpeg", "mpegts", "ogg"),
    *("mov,mp4,m4a,3gp,3g2,mj2", "mov", "mp4", "m4a", "3gp", "3g2"),
)
"""Names of FFmpeg's demuxers that may open a file."""
_STARTS = (b"\x1a\x45\xdf\xa3", b"#!AMR", b"\x30\x26\xb2\x75", b"FLV\x01", b"caff", b"\0\0\1\xba", b"OggS")
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_PACKET = 188
"""Bytes of a packet of an MPEG transport stream; each begins with ``G``."""
_GUESSED = ("aac", "ac3", "amr", "amrnb", "amrwb", "eac3", "mp3", "mpeg", "mpegts")
"""They have no header with a length: FFmpeg guesses one from the bit rate."""
DECODE_SECONDS: Seconds = 60.0
"""Time that decoding may take, in addition to a tenth of the sound's length. Real files need a hundredth."""
_DECLARED_SECONDS: Seconds = 0.1
_DECLARED_SHARE = 0.02
"""Header and sound may differ by both of these: codecs pad their first and last frames."""
_INSTALL = "pip install 'elp-foundry[media]'"


@dataclass(frozen=True)
class MediaInfo:
    """The header of the first audio stream of a container."""

    seconds: Seconds | None
    """None if the container does not say it."""
    rate: Hertz
    channels: int
    format: str
    """Container and codec, such as ``mov,mp4,m4a,3gp,3g2,mj2/aac``."""


def is_media(source: Path | str | bytes) -> bool:
    """Return whether the first bytes are those of a container that this module reads."""
    if isinstance(source, bytes):
        head = source[: _PACKET + 1]
    else:
        with Path(source).open("rb") as file:
            head = file.read(_PACKET + 1)
    if head.startswith(_STARTS) or head[4:8] in _BOXES or (head[:4] == b"RIFF" and head[8:11] == b"AVI"):
        return True
    # ADTS: twelve bits of synchronisation and the layer 0, which no MP3 has
    adts = len(head) > 7 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0
    return adts or (len(head) > _PACKET and head[0] == head[_PACKET] == ord("G"))


def is_media_format(name: str) -> bool:
    """Return whether a `MediaInfo.format` is given; libsndfile's names are in upper case."""
    return name.partition("/")[0] in FORMATS


def probe_media(source: Path | str | bytes) -> MediaInfo:
    """Read the header of a container's first audio stream.

    Raises:
        AudioError: `no_media_package` if PyAV is not installed, `corrupt` if it cannot open the file, `no_audio`.
    """
    with _opened(source) as container:
        return _info(container)


def media_blocks(source: Path | str | bytes, samples: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the first audio stream as float32 [samples, channels] at its own rate, in blocks of about `samples`.

    Raises:
        AudioError: As `probe_media`; `corrupt` if decoding breaks off; `too_slow` if it exceeds its time;
            `length_differs` if the sound is not as long as the header says.
    """
    import av

    spent, decoded = 0.0, 0
    with _opened(source) as container:
        info = _info(container)
        resampler = av.AudioResampler(format="fltp")
        frames, held, size = _frames(container, resampler, _name(source)), list[Any](), 0
        while True:
            began = time.monotonic()
            frame = next(frames, None)
            spent += time.monotonic() - began
            if spent > DECODE_SECONDS + 0.1 * decoded / info.rate:
                raise AudioError(
                    "too_slow", f"{_name(source)} took {spent:.0f} s to decode {decoded / info.rate:.0f} s"
                )
            if frame is None:
                break
            held.append(frame)
            size += frame.shape[0]
            decoded += frame.shape[0]
            if size >= samples:
                yield np.concatenate(held)
                held, size = [], 0
    if held:
        yield np.concatenate(held)
    _check_length(info, decoded, _name(source))


def media_samples(source: Path | str | bytes, max_seconds: Seconds) -> npt.NDArray[np.float32]:
    """Return the first audio stream as float32 [samples, channels] at its own rate.

    Raises:
        AudioError: As `media_blocks`; `too_long` if it lasts longer than `max_seconds`, whatever its header says.
    """
    rate = probe_media(source).rate
    found, decoded = [], 0
    for block in media_blocks(source, 10 * rate):
        found.append(block)
        decoded += len(block)
        if decoded > max_seconds * rate:
            raise AudioError("too_long", f"{_name(source)} lasts over {max_seconds / 3600:.1f} h; cut it")
    return np.concatenate(found)


def _frames(container: Any, resampler: Any, name: str) -> Iterator[npt.NDArray[np.float32]]:
    import av

    shape: tuple[int, int] | None = None
    try:
        for frame in container.decode(container.streams.audio[0]):
            # the resampler flushes at the end only: a change in the middle of a stream would be mixed up
            found = (frame.sample_rate, len(frame.layout.channels))
            if shape is not None and found != shape:
                raise AudioError("corrupt", f"{name} changes from {shape} to {found} (Hz, channels) inside the file")
            shape = found
            for part in resampler.resample(frame):
                yield np.ascontiguousarray(part.to_ndarray().T, dtype=np.float32)
        if shape is not None:
            for part in resampler.resample(None):
                yield np.ascontiguousarray(part.to_ndarray().T, dtype=np.float32)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise AudioError("corrupt", f"{name} breaks off while decoding: {error}") from error


def _opened(source: Path | str | bytes) -> Any:
    try:
        import av
    except ImportError as error:
        raise AudioError(
            "no_media_package", f"{_name(source)} is not a format of libsndfile; other formats need PyAV: {_INSTALL}"
        ) from error
    av.logging.set_level(None)
    options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    try:
        # a path, not a Python file, because FFmpeg seeks in it much faster
        return av.open(io.BytesIO(source) if isinstance(source, bytes) else f"file:{source}", container_options=options)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise AudioError("corrupt", f"{_name(source)} cannot be read as audio or video: {error}") from error


def _info(container: Any) -> MediaInfo:
    streams = container.streams.audio
    if not streams:
        raise AudioError("no_audio", f"{container.name or 'the file'} has no sound; expected an audio track")
    stream = streams[0]
    if not stream.rate or not stream.channels:
        raise AudioError("corrupt", f"the header of {container.name or 'the file'} has no rate or no channels")
    declared = None
    if container.format.name not in _GUESSED:
        declared = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / 1_000_000
    name = f"{container.format.name}/{stream.codec_context.name}"
    return MediaInfo(float(declared) if declared else None, stream.rate, stream.channels, name)


def _check_length(info: MediaInfo, decoded: int, name: str) -> None:
    if not decoded:
        raise AudioError("empty", f"{name} has a header and no sound")
    lasts = decoded / info.rate
    if info.seconds is None:
        return
    differ = abs(lasts - info.seconds)
    if differ > _DECLARED_SECONDS and differ > _DECLARED_SHARE * max(lasts, info.seconds):
        raise AudioError(
            "length_differs",
            f"{name} lasts {info.seconds:.2f} s by its header and {lasts:.2f} s decoded; it was cut off: copy it again",
        )


def _name(source: Path | str | bytes) -> str:
    return f"media of {len(source)} bytes" if isinstance(source, bytes) else str(source)
