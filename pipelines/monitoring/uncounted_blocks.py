"""The clips that a look may count: those of blocks that no earlier look has counted.

- A session that was sent is recognised by its recordings: one of them is kept when it counts. It may grow, or come in
  another folder or under another name.
- A block of a request log is recognised by its name and day, because a log loses its oldest requests. A name that is
  there on several days is a block for each day; days with too few clips are one block together.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pipelines.monitoring.block_scores import ScoredClip

_LENGTH = 16
"""Characters of a sign: the state of a year stays small."""


@dataclass(frozen=True)
class UncountedBlocks:
    """The clips of blocks that were not counted before, and how these blocks are recognised later."""

    clips: tuple[ScoredClip, ...] = ()
    signs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By block: what is kept of it once it has counted."""
    known: int = 0
    """Sessions, or days of a name in a log, that an earlier look counted."""


def uncounted_blocks(clips: Iterable[ScoredClip], counted: Iterable[str], size: int) -> UncountedBlocks:
    """Return the clips that may count, if a block needs `size` clips; `counted` are the signs of the blocks before."""
    seen, parts = set(counted), defaultdict[tuple[str, str], dict[str, ScoredClip]](dict)
    for clip in clips:
        parts[clip.block, clip.day].setdefault(clip.id, clip)
    open_days: dict[str, tuple[str, set[str]]] = {}
    found, signs, known = list[ScoredClip](), defaultdict[str, list[str]](list), 0
    for name, day in sorted(parts, key=lambda part: part[1]):
        own = parts[name, day]
        sign = _day_sign(name, day) if day else min(own)[:_LENGTH]
        # a clip of a log is the sign that earlier releases kept
        if sign in seen or seen & {clip[:_LENGTH] for clip in own}:
            known += 1
            continue
        block, before = open_days.get(name, (f"{name} {day}".strip(), set[str]()))
        found += [replace(clip, block=block) for clip in own.values()]
        signs[block].append(sign)
        together = before | set(own)
        if day and len(together) < size:
            open_days[name] = (block, together)
        else:
            open_days.pop(name, None)
    return UncountedBlocks(tuple(found), {block: tuple(kept) for block, kept in signs.items()}, known)


def _day_sign(name: str, day: str) -> str:
    return hashlib.sha256(f"{name}\0{day}".encode()).hexdigest()[:_LENGTH]
