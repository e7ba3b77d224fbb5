"""The clips in quarantine for a page: by reason, with the place of their sound."""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from elp_core.errors import CorpusError
from pipelines.datasets.clip_sound import ClipPlace
from pipelines.datasets.shard_columns import read_columns
from pipelines.registry.names import normal_name

_COLUMNS = ("sha256", "path", "reason", "detail", "size", "text", "speaker", "label", "delivery")
_SILENT = frozenset({"missing", "empty", "corrupt", "unreadable"})
"""Reasons of files that no player can play."""


@dataclass(frozen=True)
class ShownQuarantine:
    """One clip in quarantine as a page shows it."""

    key: str
    """Identifies it in the slot: several may be parts of one file."""
    path: str
    reason: str
    detail: str
    size: int
    """Bytes of the file, or of the part."""
    text: str
    speaker: str
    label: str
    delivery: str
    place: ClipPlace
    playable: bool
    """Whether its bytes are kept and may be a sound."""


# names and words of people: kept for the files of few slots only
@functools.lru_cache(maxsize=8)
def read_shown_quarantine(files: tuple[Path, ...]) -> tuple[ShownQuarantine, ...]:
    """Return every clip in quarantine files, by reason, path and detail; raise CorpusError if one cannot be read."""
    found = [one for path in files for one in _read(path)]
    return tuple(sorted(found, key=lambda one: (one.reason, one.path, one.detail, one.key)))


def count_by_reason(clips: Sequence[ShownQuarantine]) -> dict[str, int]:
    """Return how many clips have which reason, the most frequent first."""
    reasons = [clip.reason for clip in clips]
    return {reason: reasons.count(reason) for reason in sorted({*reasons}, key=lambda one: (-reasons.count(one), one))}


def _read(path: Path) -> list[ShownQuarantine]:
    rows, kept = read_columns(path, _COLUMNS).to_pylist(), _kept(path)
    return [
        ShownQuarantine(
            key=_key(row),
            path=row["path"],
            reason=row["reason"],
            detail=row["detail"] or "",
            size=row["size"] or 0,
            text=row["text"] or "",
            speaker=normal_name(row["speaker"] or ""),
            label=normal_name(row["label"] or ""),
            delivery=row["delivery"] or "",
            place=ClipPlace(path, number),
            playable=kept[number] and row["reason"] not in _SILENT,
        )
        for number, row in enumerate(rows)
    ]


def _key(row: dict[str, str]) -> str:
    about = "\0".join((row["sha256"], row["path"], row["reason"], row["detail"] or ""))
    return hashlib.sha256(about.encode("utf-8", "surrogatepass")).hexdigest()


def _kept(path: Path) -> list[bool]:
    """Return for each row whether quarantine kept its bytes; these are read only if a part of the rows lacks them."""
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            kept = list[bool]()
            for number in range(file.num_row_groups):
                group = file.metadata.row_group(number)
                [column] = [
                    group.column(place)
                    for place in range(group.num_columns)
                    if group.column(place).path_in_schema == "bytes"
                ]
                nulls = column.statistics.null_count if column.statistics else None
                if nulls in (0, group.num_rows):
                    kept += [nulls == 0] * group.num_rows
                    continue
                for batch in file.iter_batches(64, row_groups=[number], columns=["bytes"]):
                    kept += pc.is_valid(batch.column(0)).to_pylist()
            return kept
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorpusError(f"{path} cannot be read: {error}; restore it with: dvc checkout") from error
