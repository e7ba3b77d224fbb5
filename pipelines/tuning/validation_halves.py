"""The validation split in two: a training stops on one half and is scored on the other.

The epoch that is best on some clips is best on them partly by chance. A score on the same clips would be too good, and
more so for the configurations that vary most between epochs.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from elp_core.types import Clip
from pipelines.number_text import count

LEAST_CLIPS = 16
"""Clips that each half must have."""


@dataclass(frozen=True)
class ValidationHalves:
    """The clips that choose the best epoch, and those that score it."""

    stop: list[Clip] = field(repr=False)
    score: list[Clip] = field(repr=False)
    note: str
    """How the split was divided, or why it was not."""


def divide_validation(clips: Sequence[Clip], *, closed_set: bool, voices: bool) -> ValidationHalves:
    """Divide validation clips by a hash of their speaker, or of the clip in a closed set.

    `voices` is whether the task compares speakers: each half then needs two speakers with two clips. If a half would be
    too small, all clips do both.
    """
    by_clip = closed_set or not any(clip.speaker for clip in clips)
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.id if by_clip else clip.speaker, []).append(clip)
    halves: tuple[list[Clip], list[Clip]] = [], []
    for name in sorted(groups, key=lambda name: hashlib.sha256(name.encode()).digest()):
        # the smaller half takes the next group
        min(halves, key=len).extend(groups[name])
    fault = next((fault for half in halves if (fault := _fault(half, by_clip=by_clip, voices=voices))), "")
    if fault:
        note = f"trainings stop and are scored on the same {count(len(clips), 'validation clip')}, because {fault}"
        return ValidationHalves(list(clips), list(clips), note + "; the scores of the search are optimistic")
    stop, score = (sorted(half, key=lambda clip: clip.id) for half in halves)
    kind = "clips" if by_clip else "speakers"
    sizes = f"{count(len(stop), 'validation clip')} and are scored on {len(score)} others"
    return ValidationHalves(stop, score, f"trainings stop on {sizes}, of other {kind}")


def _fault(half: Sequence[Clip], *, by_clip: bool, voices: bool) -> str:
    if len(half) < LEAST_CLIPS:
        return f"half of them would be {len(half)}, and {LEAST_CLIPS} are needed"
    speakers = Counter(clip.speaker for clip in half)
    if not by_clip and len(speakers) < 2:
        return "half of them would be of one speaker"
    if voices and sum(number > 1 for name, number in speakers.items() if name) < 2:
        return "half of them would have less than two speakers with two clips each"
    return ""
