"""Measurements of a model on clips, as the monitor counts them; the blocks of a golden set."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.errors import UsageError
from pipelines.monitoring.block_scores import ScoredClip

if TYPE_CHECKING:
    from elp_core.audio import Waveform
    from elp_core.inference.measure_clips import MeasuredClip
    from elp_core.model import ElpModel
    from elp_core.types import Clip

_AT_ONCE = 64
"""Clips in memory at once."""


@dataclass(frozen=True, eq=False)
class NamedSound:
    """A decoded clip and the block that it belongs to."""

    block: str
    samples: Waveform
    """float32 [samples], mono 16 kHz."""


def measure_sounds(model: ElpModel, sounds: Iterator[NamedSound]) -> Iterator[ScoredClip]:
    """Yield the measurements of each clip, in order; some dozens are in memory at once.

    Raises AudioError for a clip that is too short for the backbone.
    """
    from elp_core.audio import clip_id
    from elp_core.inference.measure_clips import measure_waveforms

    while chunk := list(itertools.islice(sounds, _AT_ONCE)):
        measured = measure_waveforms(model, [sound.samples for sound in chunk])
        for sound, found in zip(chunk, measured, strict=True):
            yield scored_clip(clip_id(sound.samples), sound.block, found)


def scored_clip(clip: str, block: str, found: MeasuredClip) -> ScoredClip:
    """Return the measurements of a clip under the names of `monitor_names.UNITS`."""
    values = {"snr_db": found.sound.snr_db, "level_db": found.sound.rms_db, "seconds": found.sound.duration}
    if found.certainty:
        values["confidence"] = found.certainty.confidence
        if found.certainty.blank_share is not None:
            values["blank_share"] = found.certainty.blank_share
    return ScoredClip(clip, block, values, found.features)


def golden_blocks(clips: Sequence[Clip], size: int, *, closed_set: bool) -> dict[str, str]:
    """Return the block of each clip of a golden set, by clip: its speaker.

    In a closed set the speakers are the ones that the site has, so a speaker's clips are several blocks of `size`
    clips. In an open set they are one block: a new speaker differs from the known ones more than clips of one speaker
    differ from each other.

    Raises:
        UsageError: A clip has no speaker.
    """
    by_speaker: dict[str, list[str]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.id):
        if not clip.speaker:
            raise UsageError(
                f"clip {clip.id} of the golden set has no speaker, so its blocks are unknown; name the speakers with: "
                "elp data correct"
            )
        by_speaker[clip.speaker].append(clip.id)
    if not closed_set:
        return {clip: speaker for speaker, own in by_speaker.items() for clip in own}
    return {
        clip: f"{speaker} {place // size + 1}" for speaker, own in by_speaker.items() for place, clip in enumerate(own)
    }
