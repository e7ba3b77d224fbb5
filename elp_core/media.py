"""Sound of the containers that libsndfile does not read: m4a, AAC, AMR, WebM, WMA, and videos, by PyAV (FFmpeg).

The package is optional (the extra ``media``); its wheel contains FFmpeg. Only the demuxers and the file protocol of the
list below are allowed: a playlist that names other files or addresses is not opened.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from elp_core.errors import AudioError
from elp_core.types import Seconds

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


class MediaFile:
    """The first audio stream of a container, with the attributes and methods of `soundfile.SoundFile` that are used.

    Raises:
        AudioError: `no_media_package` if PyAV is not installed, `corrupt` if it cannot open the file, `no_audio`.
    """

    def __init__(self, source: Path | str | bytes) -> None:
        self._source, self._name = source, _name(source)
        self._start()
        self.frames = self._declared or self._counted()
        """By the header; counted if the header does not say it."""

    def _start(self) -> None:
        self._container = _opened(self._source)
        try:
            stream = _stream(self._container, self._name)
        except AudioError:
            self.close()
            raise
        self.samplerate: int = stream.rate
        self.channels: int = stream.channels
        self.format: str = self._container.format.name
        self.subtype: str = stream.codec_context.name
        self._declared = round(_declared(self._container, stream) * self.samplerate)
        self._blocks = _frames(self._container, self._name)
        self._held = np.zeros((0, self.channels), np.float32)
        self._place, self._decoded, self._spent = 0, 0, 0.0

    def _counted(self) -> int:
        while len(self.read(self.samplerate)):
            pass
        found = self._decoded
        self.close()
        self._start()
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def seek(self, frame: int) -> None:
        """Go to a frame: compressed sound is decoded up to there, because only that place is exact.

        Raises:
            AudioError: As the constructor and `read`.
        """
        if frame < self._place:
            self.close()
            self._start()
        while self._place < frame and len(self.read(min(frame - self._place, self.samplerate))):
            pass

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> npt.NDArray[np.float32]:
        """Return the next frames as float32 [frames, channels]; fewer at the end, none after it.

        Raises:
            AudioError: `corrupt` if decoding breaks off; `too_slow` if it exceeds its time; `wrong_length` if the
                sound is not as long as the header says.
        """
        del dtype, always_2d
        blocks, size = [self._held], len(self._held)
        while size < frames and (block := self._next()) is not None:
            blocks.append(block)
            size += len(block)
        whole = np.concatenate(blocks)
        self._held = whole[frames:]
        self._place += min(size, frames)
        return whole[:frames]

    def _next(self) -> npt.NDArray[np.float32] | None:
        began = time.monotonic()
        block = next(self._blocks, None)
        self._spent += time.monotonic() - began
        if self._spent > DECODE_SECONDS + 0.1 * self._decoded / self.samplerate:
            lasts = self._decoded / self.samplerate
            raise AudioError("too_slow", f"{self._name} took {self._spent:.0f} s to decode {lasts:.0f} s of sound")
        if block is None:
            self._check_length()
            return None
        self._decoded += len(block)
        return block

    def _check_length(self) -> None:
        lasts, declared = self._decoded / self.samplerate, self._declared / self.samplerate
        differ = abs(lasts - declared)
        if declared and differ > _DECLARED_SECONDS and differ > _DECLARED_SHARE * max(lasts, declared):
            raise AudioError(
                "wrong_length",
                f"{self._name} lasts {declared:.2f} s by its header and {lasts:.2f} s decoded; "
                "it was cut off: copy it again",
            )


def _frames(container: Any, name: str) -> Iterator[npt.NDArray[np.float32]]:
    import av

    resampler = av.AudioResampler(format="fltp")
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


def _stream(container: Any, name: str) -> Any:
    if not container.streams.audio:
        raise AudioError("no_audio", f"{name} has no sound; expected an audio track")
    stream = container.streams.audio[0]
    if not stream.rate or not stream.channels:
        raise AudioError("corrupt", f"the header of {name} has no sample rate or no channels")
    return stream


def _declared(container: Any, stream: Any) -> Seconds:
    """Return the length of a stream by the header, or 0."""
    if container.format.name in _GUESSED:
        return 0.0
    return float(stream.duration * stream.time_base if stream.duration else (container.duration or 0) / 1_000_000)


def _name(source: Path | str | bytes) -> str:
    return f"media of {len(source)} bytes" if isinstance(source, bytes) else str(source)
