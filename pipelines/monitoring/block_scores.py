"""One value of each measurement for each block of clips, such as a session or a speaker.

Clips of one session share a voice, a room and a microphone, so they are not exchangeable with clips of other sessions.
Blocks are. A test that counts clips as independent alarms without a change.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.errors import UsageError
from pipelines.monitoring.feature_distance import FeatureDistance, Features

DISTANCE = "distance"
"""Name of the score that is the distance of the block's features, and not the mean of a measurement."""


@dataclass(frozen=True, eq=False)
class ScoredClip:
    """The measurements of one clip. A folder, a manifest or the request log of a server gives them."""

    id: str
    """Digest of the sound, as `elp_core.audio.clip_id` gives it."""
    block: str
    """Name of its session; of its speaker if sessions are not known."""
    measurements: Mapping[str, float]
    """Finite values by name, such as ``snr_db``."""
    features: Features | None = None
    """Mean over time of the backbone's CNN features, float32 [C]."""
    day: str = ""
    """In a request log: the day of its block, such as 2026-11-29."""


@dataclass(frozen=True)
class BlockScores:
    """The means of the measurements over `clips` clips of one block."""

    block: str
    clips: tuple[str, ...]
    """Identifiers of the clips that were used."""
    scores: Mapping[str, float]


@dataclass(frozen=True)
class ScoredBlocks:
    """The blocks of a set of clips: those that are scored, and those with too few clips."""

    scored: tuple[BlockScores, ...] = ()
    short: Mapping[str, int] = field(default_factory=dict)
    """Number of clips of each block that has too few."""


def score_blocks(
    clips: Iterable[ScoredClip], size: int, names: Sequence[str], distance: FeatureDistance | None = None
) -> ScoredBlocks:
    """Return the mean of each measurement over `size` clips of every block, in the order of the blocks' first clips.

    With `distance`, the distance of the block's features is one more score.

    Every block counts the same number of clips: means of few clips vary more, and would look like a change. The clips
    with the lowest identifiers are used. Identifiers are digests, so the choice does not depend on the order of
    arrival. A clip that occurs twice counts once.

    Raises:
        UsageError: `size` is under 1, a measurement is missing or is not finite.
    """
    if size < 1:
        raise UsageError(f"a block needs 1 clip or more, got {size}; set monitor.block_clips in elp.yaml")
    by_block: dict[str, dict[str, ScoredClip]] = defaultdict(dict)
    for clip in clips:
        by_block[clip.block].setdefault(clip.id, clip)
    scored, short = [], {}
    for block, found in by_block.items():
        if len(found) < size:
            short[block] = len(found)
            continue
        chosen = [found[clip] for clip in sorted(found)[:size]]
        means = {name: math.fsum(_value(clip, name) for clip in chosen) / size for name in names}
        if distance:
            means[DISTANCE] = distance.of_block([_features(clip) for clip in chosen])
        scored.append(BlockScores(block, tuple(clip.id for clip in chosen), means))
    return ScoredBlocks(tuple(scored), short)


def _value(clip: ScoredClip, name: str) -> float:
    value = clip.measurements.get(name)
    if value is None or not math.isfinite(value):
        raise UsageError(f"clip {clip.id} has {name} {value}, expected a finite number; measure the clip again")
    return value


def _features(clip: ScoredClip) -> Features:
    if clip.features is None:
        raise UsageError(f"clip {clip.id} has no features; measure the clip again")
    return clip.features
