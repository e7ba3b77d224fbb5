"""When a model's answer may stand for a person's: two decodings of a recording agree, and the first one is sure.

The second decoding hears the recording with light noise, another speed and another level. Agreement filters better than
confidence alone (arXiv 2506.03681): a wrong answer that depends on details changes with them. The accepted recordings
are then capped and balanced, since short and easy ones agree most often.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from elp_core._ranges import Checked, within
from elp_core.types import Seconds

if TYPE_CHECKING:
    from elp_core.audio import Waveform
    from elp_core.inference.assess_clips import DraftAnswer

_QUARTERS = 4


@dataclass(frozen=True)
class AgreementLimits(Checked):
    """What a pseudo-label needs, and how many there may be."""

    share: float = within(0.3, 0.0, 1.0)
    """Most audio with pseudo-labels, as a share of the training audio that people labelled."""
    agree: float = within(0.05, 0.0, 1.0)
    """Highest character error rate between the two transcripts."""
    confidence: float = within(0.8, 0.0, 1.0)
    """Lowest confidence of a transcript, or calibrated probability of a class, in both decodings."""


@dataclass(frozen=True)
class AgreedLabel:
    """A recording whose two decodings agree."""

    id: str
    stratum: str
    """Its class; of a transcript, the quarter of all lengths that it is in."""
    seconds: Seconds


def disturbed(samples: Waveform, clip: str, min_samples: int) -> Waveform:
    """Return float32 [samples / speed] with light noise, another speed and level; they depend on the clip's id only."""
    from elp_core.config import AugmentConfig
    from elp_core.data.augment import augment_waveform, generator

    config = AugmentConfig(speed=0.05, noise_probability=1.0, noise_snr=(15.0, 25.0), gain_db=6.0)
    return augment_waveform(samples, config, generator(int(clip[:8], 16)), min_samples)


def disagreement(first: DraftAnswer, second: DraftAnswer, limits: AgreementLimits, *, classes: bool) -> str:
    """Return the reason, a short stable word, why the answers are no pseudo-label; empty if they agree."""
    if not first.text or first.none_of_these or second.none_of_these:
        return "no_answer"
    if classes:
        if first.text != second.text:
            return "disagree"
    elif transcript_difference(first.text, second.text) > limits.agree:
        return "disagree"
    return "not_sure" if min(first.confidence, second.confidence) < limits.confidence else ""


def transcript_difference(first: str, second: str) -> float:
    """Return the character error rate of the second transcript against the first one."""
    from elp_core.metrics.wer import cer

    return cer([second], [first])


def length_strata(seconds: Mapping[str, Seconds]) -> dict[str, str]:
    """Return for each recording the quarter of the lengths that it is in, as ``1`` (the shortest) to ``4``."""
    order = sorted(seconds, key=lambda clip: (seconds[clip], clip))
    return {clip: str(1 + place * _QUARTERS // len(order)) for place, clip in enumerate(order)}


def balanced_share(agreed: Sequence[AgreedLabel], budget: Seconds) -> list[str]:
    """Return the ids that are taken: together at most `budget` long, as equally from all strata as they allow.

    `agreed` are in the order in which they are preferred. The stratum with the least audio so far is next, so that a
    frequent class, or the many short recordings, get no more than their part while others still have some.
    """
    waiting: dict[str, list[AgreedLabel]] = defaultdict(list)
    for one in agreed:
        waiting[one.stratum].append(one)
    queues = {name: iter(found) for name, found in sorted(waiting.items())}
    taken: list[str] = []
    spent: dict[str, Seconds] = dict.fromkeys(queues, 0.0)
    left = budget
    while queues:
        name = min(queues, key=lambda one: (spent[one], one))
        # what does not fit any more is passed over: a shorter one may
        fitting = next((one for one in queues[name] if one.seconds <= left), None)
        if fitting is None:
            del queues[name]
            continue
        taken.append(fitting.id)
        spent[name] += fitting.seconds
        left -= fitting.seconds
    return taken
