"""Read the sound of a source clip: its file is checked and decoded once, then its channel and its part are taken."""

import functools
import math
from dataclasses import dataclass, field
from pathlib import Path

from elp_core.audio import MAX_SECONDS, MIN_SAMPLES, AudioInfo, Waveform, load_info, load_part, probe
from elp_core.channels import Channel
from elp_core.containers import FileLength, content_of, file_length, require_one_length
from elp_core.errors import AudioError
from elp_core.sound_files import MAX_VALUES, name_of, require_bounds, too_long
from elp_core.types import SAMPLE_RATE, Hertz, Seconds
from pipelines.datasets.delivery import DeliveryOptions, SourceClip


def read_clip(clip: SourceClip, options: DeliveryOptions) -> tuple[Waveform, Hertz]:
    """Return the sound of a clip, float32 [samples] at 16 kHz, and the sampling rate of its file.

    AudioError: the file cannot be used, its lengths disagree (`wrong_length`, `cut_off`), it has channels that differ
    and none was chosen, or the clip is not inside it (`out_of_file`).
    """
    # `each` has become a clip a channel for the files whose channels differ
    chosen = options.channel if options.channel and options.channel != "each" else "same"
    file = _File(clip.sha256, clip.channel if clip.channel is not None else chosen, clip.declared, clip.audio)
    if clip.start == 0.0 and clip.seconds is None:
        waveform, info = _decoded(file)
        return waveform, info.rate
    found = _recording(file) if clip.sha256 else _recording.__wrapped__(file)
    if isinstance(found, AudioError):
        raise found
    begin, end = _span(clip, found.samples)
    if found.waveform is not None:
        return found.waveform[begin:end], found.info.rate
    return load_part(clip.audio, begin, end, file.channel), found.info.rate


def forget_recordings() -> None:
    """Free the memory of the recordings that were decoded last."""
    _recording.cache_clear()


@dataclass(frozen=True)
class _File:
    """A file of a delivery, and what is taken of it."""

    sha256: str
    channel: Channel
    declared: Seconds | None
    audio: Path | bytes = field(compare=False, repr=False)


@dataclass(frozen=True)
class _Recording:
    """A file that clips are cut out of."""

    info: AudioInfo
    samples: int
    """Its length at 16 kHz."""
    waveform: Waveform | None = field(repr=False)
    """The whole of it; None if it is too long, and each clip is decoded from its place in the file."""


@functools.lru_cache(maxsize=2)
def _recording(file: _File) -> _Recording | AudioError:
    """Decode a file once for all its clips, which follow each other; two, because a call has two channels."""
    try:
        info = probe(file.audio)
        if info.seconds <= MAX_SECONDS and info.seconds * info.rate * info.channels <= MAX_VALUES:
            waveform, info = _decoded(file)
            return _Recording(info, len(waveform), waveform)
        if not math.isfinite(info.seconds):
            raise too_long(file.audio, info.seconds)
        require_one_length(name_of(file.audio), _length(file.audio), info.seconds, file.declared)
        return _Recording(info, math.ceil(info.seconds * SAMPLE_RATE), None)
    except AudioError as error:
        # kept, too: another clip of the file must not decode it again
        return error


def _decoded(file: _File) -> tuple[Waveform, AudioInfo]:
    length = _length(file.audio)
    if length and (length.header or 0.0) > MAX_SECONDS:
        # a wrong rate makes a file long, too
        require_bounds(file.audio, probe(file.audio))
        raise too_long(file.audio, length.header or 0.0)
    # before decoding, which would take the sound that is there for the whole
    require_one_length(name_of(file.audio), length)
    waveform, info = load_info(file.audio, file.channel)
    require_one_length(name_of(file.audio), length, len(waveform) / SAMPLE_RATE, file.declared)
    return waveform, info


def _length(audio: Path | bytes) -> FileLength | None:
    if isinstance(audio, Path) and not audio.is_file():
        # `load` has the sentence
        return None
    with content_of(audio) as content:
        return file_length(content)


def _span(clip: SourceClip, samples: int) -> tuple[int, int]:
    """Return the first sample of a clip in its file of so many `samples` at 16 kHz, and the one after its last."""
    begin = round(clip.start * SAMPLE_RATE)
    end = samples if clip.seconds is None else begin + round(clip.seconds * SAMPLE_RATE)
    if begin < 0 or end > samples + SAMPLE_RATE // 10 or begin >= samples:
        lasts, span = samples / SAMPLE_RATE, f"from {begin / SAMPLE_RATE:.2f} s to {end / SAMPLE_RATE:.2f} s"
        raise AudioError("out_of_file", f"the clip goes {span}, its file lasts {lasts:.2f} s")
    end = min(end, samples)
    if end - begin < MIN_SAMPLES:
        raise AudioError("too_short", f"the clip lasts {(end - begin) / SAMPLE_RATE:.4f} s, expected 25 ms or more")
    if end - begin > MAX_SECONDS * SAMPLE_RATE:
        raise AudioError("too_long", f"the clip lasts {(end - begin) / SAMPLE_RATE / 3600:.1f} h, expected at most 1 h")
    return begin, end
