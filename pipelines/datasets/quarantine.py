"""Quarantine: clips that cannot be used, kept with their reason and, up to a size, their original bytes."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from elp_core.files import write_whole
from elp_core.groups import GROUP
from pipelines.datasets.delivery import ClipFault, SourceClip
from pipelines.registry.names import normal_name

KEEP_BYTES = 64 * 2**20
"""Larger files are kept by name and digest only."""
_SHARD_BYTES = 256 * 2**20
_WORDS = ("path", "text", "speaker", "label", "split", "condition")

SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("bytes", pa.large_binary()),
        pa.field("size", pa.int64()),
        *(pa.field(name, pa.string()) for name in (*_WORDS[1:], "delivery")),
    ]
)
_GROUPED = SCHEMA.append(pa.field(GROUP, pa.string()))
"""Of a file with a clip that has groups: all others are the bytes that older releases wrote."""


@dataclass(frozen=True)
class QuarantinedClip:
    """One clip in quarantine, without its bytes."""

    sha256: str
    """Of the file as it was delivered."""
    path: str
    reason: str
    detail: str


def with_own_sound(clip: SourceClip, fault: ClipFault, sound: bytes | None) -> tuple[SourceClip, ClipFault]:
    """Return a faulty clip as quarantine keeps it: a part of a file with its place, and with its own `sound` only.

    The rest of the file is the sound of other clips, and of people whose recordings may have to be erased.
    """
    if clip.whole:
        return clip, fault
    end = "the end" if clip.seconds is None else f"{clip.start + clip.seconds:.2f} s"
    place = f"{clip.start:.2f} s to {end}" + (f", channel {clip.channel}" if clip.channel is not None else "")
    return replace(clip, audio=sound or b""), replace(fault, detail=f"{fault.detail} ({place})")


def not_held(
    faulty: Iterable[tuple[SourceClip, ClipFault]], stored: Iterable[QuarantinedClip]
) -> list[tuple[SourceClip, ClipFault]]:
    """Return the faulty clips that quarantine does not have for this reason; parts of a file count by their place."""
    held: set[tuple[str, ...]] = set()
    for one in stored:
        key = (one.sha256, normal_name(one.path), one.reason)
        held |= {key, (*key, one.detail)}
    new = []
    for clip, fault in faulty:
        key = (clip.sha256, clip.path, fault.reason)
        if (key if clip.whole else (*key, fault.detail)) not in held:
            new.append((clip, fault))
    return new


def write_quarantine(faulty: Iterable[tuple[SourceClip, ClipFault]], delivery: str, folder: Path) -> list[Path]:
    """Write faulty clips to Parquet files in `folder`, named by their content, and return their paths."""
    written: list[Path] = []
    records: list[dict[str, Any]] = []
    held = 0
    for clip, fault in faulty:
        size = len(clip.audio) if isinstance(clip.audio, bytes) else clip.audio.stat().st_size
        kept = None
        if size <= KEEP_BYTES:
            kept = clip.audio if isinstance(clip.audio, bytes) else clip.audio.read_bytes()
            # a part of a file that could not be read has no sound of its own
            kept = kept if kept or clip.whole else None
        words = {name: getattr(clip, name) for name in (*_WORDS, GROUP)}
        about = {"sha256": clip.sha256, "reason": fault.reason, "detail": fault.detail, "delivery": delivery}
        records.append({**words, **about, "bytes": kept, "size": size})
        held += len(kept or b"")
        if held > _SHARD_BYTES:
            written.append(_write(records, folder))
            records, held = [], 0
    return written + ([_write(records, folder)] if records else [])


def read_quarantine(paths: Iterable[Path]) -> Iterator[QuarantinedClip]:
    """Yield the clips in quarantine files, without their bytes."""
    for path in sorted(paths):
        for record in pq.read_table(path, columns=["sha256", "path", "reason", "detail"]).to_pylist():
            yield QuarantinedClip(**record)


def split_quarantine(
    path: Path, taken: Callable[[Mapping[str, Any]], bool], folder: Path, muted: Collection[str] = ()
) -> tuple[list[Path], list[QuarantinedClip], int]:
    """Write a quarantine file without the rows that are `taken` as a new file in `folder`, unless nothing changes.

    Whole files with one of the paths `muted` stay without their bytes. Return the new files, one at most, the clips
    that were left out, and how many files lost their bytes.
    """
    rows = pq.read_table(path).to_pylist()
    stay = [row for row in rows if not taken(row)]
    kept = [row | {"bytes": None} if normal_name(row["path"]) in muted and _is_whole(row) else row for row in stay]
    silent = sum(now is not before for now, before in zip(kept, stay, strict=True))
    gone = [QuarantinedClip(row["sha256"], row["path"], row["reason"], row["detail"]) for row in rows if taken(row)]
    return ([_write(kept, folder)] if (gone or silent) and kept else []), gone, silent


def _is_whole(row: Mapping[str, Any]) -> bool:
    """Whether the bytes are those of a file, in which other clips may be, too."""
    return bool(row["bytes"]) and hashlib.sha256(row["bytes"]).hexdigest() == row["sha256"]


def count_reasons(faults: Iterable[ClipFault | QuarantinedClip]) -> dict[str, int]:
    """Return how many clips have which reason, the most frequent first."""
    return dict(Counter(sorted(fault.reason for fault in faults)).most_common())


def _write(records: list[dict[str, Any]], folder: Path) -> Path:
    # named by content, as shards are: a run that is repeated writes the same file
    sink = pa.BufferOutputStream()
    schema = _GROUPED if any(record.get(GROUP) for record in records) else SCHEMA
    pq.write_table(pa.Table.from_pylist(records, schema=schema), sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    target = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.parquet"
    write_whole(target, content)
    return target
