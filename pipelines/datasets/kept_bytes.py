"""How much of a delivery stays in a slot, estimated before it is decoded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from elp_core.types import SAMPLE_RATE

if TYPE_CHECKING:
    from pipelines.datasets.delivery import SourceClip

_BYTES_PER_SECOND = 2 * SAMPLE_RATE
"""Of a clip as 16-bit samples; FLAC needs less."""


class KeptBytes:
    """About how many bytes of a delivery stay: all of a file, or the clips that are cut out of it."""

    def __init__(self) -> None:
        self._cuts: dict[str, float] = {}
        self._sizes: dict[str, int] = {}

    def add(self, clip: SourceClip) -> None:
        """Count a clip, with the hash of its file."""
        if clip.sha256 not in self._sizes:
            size = len(clip.audio) if isinstance(clip.audio, bytes) else clip.audio.stat().st_size
            self._sizes[clip.sha256] = size
        cut = math.inf if clip.seconds is None else clip.seconds * _BYTES_PER_SECOND
        self._cuts[clip.sha256] = self._cuts.get(clip.sha256, 0.0) + cut

    def total(self) -> int:
        """Return the bytes of all clips."""
        return sum(self._sizes[name] if cut == math.inf else round(cut) for name, cut in self._cuts.items())
