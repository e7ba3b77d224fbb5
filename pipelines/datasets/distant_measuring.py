"""Measure the clips of a large delivery on other machines, which see no file of this one: the clips' bytes are sent."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from elp_core.data.corpus import ShardRow
from pipelines.chunk_map import ChunkMap
from pipelines.datasets.delivery import ClipFault, SourceClip
from pipelines.datasets.measuring import IntakeSettings, measure_here

CHUNK_CLIPS = 256
"""A chunk pays the start of a process on the other side."""
CHUNK_BYTES = 8 * 2**20
MOST_BYTES = 64 * 2**20
"""A larger file is measured on this machine, in its own process: messages of an engine are held in memory."""


def measure_elsewhere(
    clips: Sequence[SourceClip], settings: IntakeSettings, chunk_map: ChunkMap
) -> Iterator[ShardRow | ClipFault]:
    """Yield the row or the fault of every clip, in order, as `measure_clips` does."""
    # for each chunk in order: None if it was sent, its clips if they stay here
    plan: deque[list[SourceClip] | None] = deque()

    def sent() -> Iterator[list[SourceClip]]:
        for chunk in _chunks(clips):
            ready = None if chunk.large else _with_bytes(chunk.clips)
            plan.append(None if ready else chunk.clips)
            if ready:
                yield ready

    for measured in chunk_map(functools.partial(measure_here, settings), sent()):
        while (here := plan.popleft()) is not None:
            yield from measure_here(settings, here)
        yield from measured
    for here in plan:
        assert here is not None
        yield from measure_here(settings, here)


@dataclass
class _Chunk:
    clips: list[SourceClip] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    size: int = 0
    """Bytes of its files; clips of one file share them."""
    large: bool = False

    def add(self, clip: SourceClip, size: int) -> None:
        self.clips.append(clip)
        if clip.sha256 not in self.files or not clip.sha256:
            self.files.add(clip.sha256)
            self.size += size


def _chunks(clips: Sequence[SourceClip]) -> Iterator[_Chunk]:
    """Yield the clips in chunks of bounded size; large files have chunks of their own."""
    chunk = _Chunk()
    for clip in clips:
        size = _size(clip)
        large = size is None or size > MOST_BYTES
        added = 0 if size is None or clip.sha256 in chunk.files else size
        full = len(chunk.clips) >= CHUNK_CLIPS or chunk.size + added > CHUNK_BYTES or chunk.large != large
        if chunk.clips and full:
            yield chunk
            chunk = _Chunk()
        chunk.large = large
        chunk.add(clip, size or 0)
    if chunk.clips:
        yield chunk


def _size(clip: SourceClip) -> int | None:
    """Return how many bytes are sent for a clip; None if its file cannot be found, which its measuring reports."""
    if clip.fault:
        return 0
    if isinstance(clip.audio, bytes):
        return len(clip.audio)
    try:
        return clip.audio.stat().st_size
    except OSError:
        return None


def _with_bytes(clips: Sequence[SourceClip]) -> list[SourceClip] | None:
    """Return clips with the bytes of their files, read once for each file; None if one cannot be read."""
    read: dict[Path, bytes] = {}
    found = []
    for clip in clips:
        audio = b"" if clip.fault else clip.audio
        if isinstance(audio, Path):
            try:
                # copies of one object are pickled once
                content = read.get(audio) or audio.read_bytes()
            except OSError:
                return None
            read[audio] = content
            audio = content
        found.append(clip if audio is clip.audio else replace(clip, audio=audio))
    return found
