"""Recordings with one transcript each become clips: an adapter aligns the two, and both are cut at the same places."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

import pyarrow.parquet as pq

from elp_core.channels import Channel
from elp_core.data.corpus import ShardRow
from elp_core.errors import AudioError, CorpusError, ElpError
from elp_core.languages import LanguageConfig
from elp_core.types import Seconds
from pipelines.datasets.alignment import Alignment
from pipelines.datasets.dataset_version import DatasetVersion
from pipelines.datasets.delivery import ClipFault, DeliveryContent, SourceClip
from pipelines.datasets.measuring import IntakeSettings, lost_clip, measure_clip
from pipelines.datasets.worker_processes import WorkerProcess, needs_no_bound
from pipelines.errors import UsageError

if TYPE_CHECKING:
    from elp_core.inference.align_recording import AlignedSegment

SEGMENT_SECONDS: Seconds = 20.0
"""Recordings that are not longer stay as they are; segments are not longer either, if they have a pause."""
_SHOWN = 60
"""Characters of a transcript in a message."""


class Aligner(Protocol):
    """An adapter that aligns transcripts with recordings."""

    @property
    def adapter(self) -> str:
        """Slot of the adapter."""

    @property
    def version(self) -> int:
        """Its version in the registry."""

    @property
    def bundle(self) -> str:
        """Digest of its bundle."""

    @property
    def language(self) -> LanguageConfig:
        """Language of the transcripts."""

    @property
    def min_score(self) -> float:
        """Segments with a lower score are bad."""

    def align(
        self, audio: Path | bytes, transcript: str, channel: Channel, start: Seconds, seconds: Seconds | None
    ) -> list[AlignedSegment]:
        """Return the segments of a part of a recording, with times in the recording."""


def with_aligner(content: DeliveryContent, aligner: Aligner) -> DeliveryContent:
    """Return a delivery with the key that it has if it is aligned: that of its content, the adapter and its version.

    Raise UsageError if each channel of its files is to become clips: a transcript is aligned with one sound.
    """
    if content.options.channel == "each":
        raise UsageError(
            "--align has one transcript for a recording, and --channel each makes several clips of it; choose "
            "--channel left, right or mix, or deliver a recording for each side with its own transcript"
        )
    words = json.dumps([content.key, aligner.adapter, aligner.version, aligner.bundle])
    # no release without alignment can have taken it in
    return replace(content, key=hashlib.sha256(words.encode()).hexdigest(), earlier_key="")


def require_not_aligned(content: DeliveryContent, language: LanguageConfig, current: DatasetVersion | None) -> None:
    """Refuse a delivery without an aligner that has recordings whose segments `current` has; raise UsageError."""
    aligned = {
        recording: delivery
        for delivery in (current.deliveries if current else ())
        if delivery.alignment and delivery.clips > 0
        for recording in (*delivery.alignment.recordings, *delivery.alignment.sounds)
    }
    for clip in content.clips if aligned else ():
        found = None if clip.fault else aligned.get(_recording_id(clip, language)) or aligned.get(sound_id(clip))
        if found and (cut := found.alignment):
            raise UsageError(
                f"{clip.path} was aligned with {cut} for v{found.version}; as a whole, the same sound would be in the "
                f"data twice: use --align {cut.adapter}@v{cut.version}, or deliver the new recordings alone"
            )


def aligned_sounds(current: DatasetVersion) -> frozenset[str]:
    """Return the `sound_id` of every recording whose segments were taken in."""
    cut = [one.alignment for one in current.deliveries if one.alignment and one.clips > 0]
    return frozenset(sound for alignment in cut for sound in alignment.sounds)


def sound_id(clip: SourceClip) -> str:
    """Return what identifies a recording without its transcript."""
    words = json.dumps([clip.sha256, clip.channel, clip.start, clip.seconds])
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def align_delivery(
    content: DeliveryContent,
    aligner: Aligner,
    current: DatasetVersion | None,
    present: Sequence[Path],
    settings: IntakeSettings,
) -> DeliveryContent:
    """Return a delivery with the segments of its long recordings in their place.

    A recording stays as it is if it is a clip of `present`, the shards of `current`, or such a clip was dropped: its
    segments would be the same sound under other ids, and perhaps in another split.

    Segments that are bad are withheld, see `SourceClip.withheld`. A recording that cannot be aligned becomes one clip
    with a fault. Raise UsageError if `current` has recordings of it that another adapter or transcript has cut.
    """
    channel = content.options.channel
    assert channel != "each"  # `with_aligner` refuses it
    recordings: dict[str, None] = {}
    sounds: dict[str, None] = {}
    clips: list[SourceClip] = []
    wholes = _Wholes(current, present, settings)
    for clip in _bounded(content.clips):
        if clip.fault or not _is_long(clip) or clip in wholes:
            clips.append(clip)
            continue
        recording = _recording_id(clip, aligner.language)
        _require_same_aligner(recording, clip, aligner, current)
        _require_same_transcript(recording, clip, current)
        found = _aligned(clip, aligner, channel or "same")
        if isinstance(found, ClipFault):
            clips.append(replace(clip, fault=found))
            continue
        recordings[recording] = None
        sound = sound_id(clip)
        sounds[sound] = None
        # the segments of a recording without a speaker stay in one split
        speaker = clip.speaker or PurePosixPath(clip.path).with_suffix("").as_posix()
        named = replace(clip, speaker=speaker, recording=sound)
        clips += [_segment(named, one, aligner.min_score) for one in found]
    alignment = Alignment(aligner.adapter, aligner.version, aligner.bundle, tuple(recordings), tuple(sounds))
    return replace(content, clips=tuple(clips), alignment=alignment)


class _Wholes:
    """The clips that a slot has, or had until they were dropped."""

    def __init__(self, current: DatasetVersion | None, present: Sequence[Path], settings: IntakeSettings) -> None:
        self._ids, self._settings = set(current.withdrawn if current else ()), settings
        self._longest = settings.policy.max_seconds
        for shard in present:
            table = pq.read_table(shard, columns=["id", "duration"])
            self._ids.update(table["id"].to_pylist())
            self._longest = max(self._longest, *table["duration"].to_pylist())

    def __contains__(self, clip: SourceClip) -> bool:
        """Return whether the whole sound of `clip` is such a clip; longer ones are not decoded."""
        if not self._ids or not 0 < (_seconds(clip) or 0.0) <= self._longest + 1.0:
            return False
        found = measure_clip(clip, self._settings)
        return isinstance(found, ShardRow) and found.id in self._ids


def _bounded(clips: Iterable[SourceClip]) -> Iterator[SourceClip]:
    """Yield the recordings; one whose decoding takes too long or too much memory has a fault: another process tries."""
    # several clips can be parts of one file, which is decoded as a whole
    decoded: dict[str, bool] = {}
    with WorkerProcess() as process:
        for clip in clips:
            if clip.fault or needs_no_bound(clip.audio) or not _is_long(clip):
                yield clip
                continue
            if clip.sha256 not in decoded:
                (decoded[clip.sha256],) = process.each(_decode, [clip], lambda _: False)
            yield clip if decoded[clip.sha256] else replace(clip, fault=lost_clip(clip))


def _decode(clip: SourceClip) -> bool:
    """Decode a recording; return that this process has survived it."""
    from elp_core.inference.audio_blocks import audio_blocks

    try:
        for _ in audio_blocks(clip.audio):
            pass
    except ImportError:
        raise
    except Exception:
        # what is wrong with it, its alignment says
        return True
    return True


def _is_long(clip: SourceClip) -> bool:
    seconds = _seconds(clip)
    # what cannot be read is measured as it is, and goes to quarantine; a header may name no length
    return seconds is not None and (not math.isfinite(seconds) or seconds > SEGMENT_SECONDS or seconds <= 0)


def _seconds(clip: SourceClip) -> Seconds | None:
    """Return the length of a clip by the header of its file; None if that cannot be read."""
    from elp_core.audio import probe

    try:
        return clip.seconds if clip.seconds is not None else probe(clip.audio).seconds - clip.start
    except ImportError:
        raise
    except Exception:
        # not only AudioError: decoders raise what they like
        return None


def _recording_id(clip: SourceClip, language: LanguageConfig) -> str:
    """Return what identifies a recording with its transcript."""
    words = json.dumps([clip.sha256, clip.channel, clip.start, clip.seconds, language.transcript(clip.text)])
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def _require_same_transcript(recording: str, clip: SourceClip, current: DatasetVersion | None) -> None:
    """Refuse what would be in the slot twice, or come back after a drop, cut at other words."""
    for delivery in current.deliveries if current else ():
        cut = delivery.alignment
        if cut and recording not in cut.recordings and sound_id(clip) in cut.sounds:
            raise UsageError(
                f"{clip.path} was cut into clips by another transcript for v{delivery.version}; cut again, the same "
                "sound would be in the data twice: correct the words of its clips (elp data correct), or deliver the "
                "new recordings alone"
            )


def _require_same_aligner(recording: str, clip: SourceClip, aligner: Aligner, current: DatasetVersion | None) -> None:
    """Refuse what would be in the slot twice, cut at other places."""
    for delivery in current.deliveries if current else ():
        other = delivery.alignment
        if other and recording in other.recordings and other.bundle != aligner.bundle:
            raise UsageError(
                f"{clip.path} was aligned with {other} for v{delivery.version}; cut again by {aligner.adapter} version "
                f"{aligner.version}, the same sound would be in the data twice: use --align "
                f"{other.adapter}@v{other.version}, or deliver the new recordings alone"
            )


def _aligned(clip: SourceClip, aligner: Aligner, channel: Channel) -> list[AlignedSegment] | ClipFault:
    chosen = clip.channel if clip.channel is not None else channel
    try:
        return aligner.align(clip.audio, clip.text, chosen, clip.start, clip.seconds)
    except AudioError as error:
        return ClipFault(error.reason, _named(error, clip))
    except CorpusError as error:
        reason = "transcript_too_long" if aligner.language.transcript(clip.text) else "empty_transcript"
        return ClipFault(reason, f"{clip.path}: {error}")
    except (ElpError, ImportError):
        # that is no fault of the recording: every one would fail
        raise
    except Exception as error:
        # decoders raise what they like at bytes that nobody foresaw
        return ClipFault(
            "unreadable", f"{clip.path} cannot be aligned ({type(error).__name__}: {error}); export it again"
        )


def _segment(recording: SourceClip, one: AlignedSegment, least: float) -> SourceClip:
    clip = replace(recording, text=one.text, start=one.start, seconds=round(one.end - one.start, 3))
    words = one.text if len(one.text) <= _SHOWN else f"{one.text[:_SHOWN]}…"
    scored = f"score {one.score:.2f}, expected {least:g} or more (data.min_alignment)"
    if one.finding == "not_spoken":
        return replace(clip, fault=ClipFault("not_spoken", f"nobody says {words!r} here: {scored}"))
    if one.finding == "not_in_transcript":
        return replace(clip, withheld=ClipFault("not_in_transcript", f"the transcript has no words for it: {scored}"))
    if one.finding == "badly_aligned":
        return replace(clip, withheld=ClipFault("badly_aligned", f"{words!r} is not all that is said: {scored}"))
    return clip


def _named(error: AudioError, clip: SourceClip) -> str:
    from elp_core.sound_files import name_of

    # the quarantine record names the clip, and no path of this machine
    return str(error).replace(name_of(clip.audio), clip.path)
