"""Quarantine: clips that cannot be used, kept with their reason and, up to a size, the bytes as they came."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.datasets.measuring import audio_bytes
from pipelines.datasets.source_clip import Fault, SourceClip

KEEP_BYTES = 64 * 2**20
"""Larger files are kept by name and digest only."""
_SHARD_BYTES = 256 * 2**20

SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("bytes", pa.large_binary()),
        pa.field("size", pa.int64()),
        *(pa.field(name, pa.string()) for name in ("text", "speaker", "label", "split", "condition", "delivery")),
    ]
)


@dataclass(frozen=True)
class Quarantined:
    """One clip in quarantine, without its bytes."""

    sha256: str
    path: str
    reason: str
    detail: str


def write_quarantine(
    clips: Iterable[SourceClip], faults: Mapping[int, Fault], digests: Sequence[str], delivery: str, folder: Path
) -> list[Path]:
    """Write the faulty clips of a delivery to Parquet files named by their content.

    Args:
        clips: the whole delivery, in the order in which `faults` and `digests` count.
        faults: by index of the clip.
        digests: SHA-256 (hex) of each clip's file.
        delivery: short name of the delivery.
        folder: gets the files.
    """
    written: list[Path] = []
    records: list[dict[str, object]] = []
    held = 0
    for index, clip in enumerate(clips):
        if index not in faults:
            continue
        content = audio_bytes(clip.audio)
        kept = content if len(content) <= KEEP_BYTES else None
        records.append(_record(clip, faults[index], digests[index], delivery) | {"bytes": kept, "size": len(content)})
        held += len(kept or b"")
        if held > _SHARD_BYTES:
            written.append(_write(records, folder))
            records, held = [], 0
    return written + ([_write(records, folder)] if records else [])


def read_quarantine(paths: Iterable[Path]) -> Iterator[Quarantined]:
    """Everything in quarantine, without the bytes."""
    columns = ["sha256", "path", "reason", "detail"]
    for path in sorted(paths):
        for record in pq.read_table(path, columns=columns).to_pylist():
            yield Quarantined(**record)


def without(
    path: Path, taken: Callable[[Mapping[str, Any]], bool], folder: Path
) -> tuple[list[Path], list[Quarantined]]:
    """A quarantine file less the rows for which `taken` says so, as a new file in `folder`.

    Returns:
        The new file (none where no row is left, or none goes), and what went.
    """
    rows = pq.read_table(path).to_pylist()
    kept = [row for row in rows if not taken(row)]
    names = ("sha256", "path", "reason", "detail")
    gone = [Quarantined(**{name: row[name] for name in names}) for row in rows if taken(row)]
    return ([_write(kept, folder)] if gone and kept else []), gone


def reasons(faults: Iterable[Fault | Quarantined]) -> dict[str, int]:
    """How many clips went for which reason, the most frequent first."""
    return dict(sorted(Counter(fault.reason for fault in faults).items(), key=lambda item: (-item[1], item[0])))


def _record(clip: SourceClip, fault: Fault, digest: str, delivery: str) -> dict[str, object]:
    words = {name: getattr(clip, name) for name in ("path", "text", "speaker", "label", "split", "condition")}
    return {"sha256": digest, "reason": fault.reason, "detail": fault.detail, "delivery": delivery, **words}


def _write(records: list[dict[str, object]], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "quarantine.tmp"
    pq.write_table(pa.Table.from_pylist(records, schema=SCHEMA), temporary, compression="zstd")
    target = folder / f"{hashlib.sha256(temporary.read_bytes()).hexdigest()[:16]}.parquet"
    os.replace(temporary, target)
    return target
