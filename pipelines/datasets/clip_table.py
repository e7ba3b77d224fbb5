"""All clips of a dataset version as one table without their sound: filtered, ordered and cut into pages."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from elp_core.groups import GROUP
from elp_core.types import Decibels, Hertz, Seconds
from pipelines.datasets.shard_columns import read_columns
from pipelines.datasets.version_summary import VersionFigures, count_clips
from pipelines.registry.names import normal_name

_NAMES = ("speaker", "label", "condition")
_FLOATS = ("duration", "rms_db", "peak", "clipping", "dc", "silence", "snr_db")
_COLUMNS = ("id", "audio.path", "split", "text", *_NAMES, *_FLOATS, "source_rate", "delivery", "teacher", GROUP)
ORDERS: dict[str, list[tuple[str, str]]] = {
    "file name": [("path", "ascending"), ("id", "ascending")],
    "longest first": [("duration", "descending"), ("id", "ascending")],
    "shortest first": [("duration", "ascending"), ("id", "ascending")],
    "quietest first": [("rms_db", "ascending"), ("id", "ascending")],
    "loudest first": [("rms_db", "descending"), ("id", "ascending")],
    "lowest SNR first": [("snr_db", "ascending"), ("id", "ascending")],
}
"""The orders of a page, by name; the first is the default."""


@dataclass(frozen=True)
class ShownClip:
    """One clip as a page shows it. Names are in their normal form."""

    id: str
    path: str
    """Of the file as it was delivered."""
    split: str
    text: str
    speaker: str
    label: str
    condition: str
    duration: Seconds
    rms_db: Decibels
    peak: float
    clipping: float
    dc: float
    silence: float
    snr_db: Decibels
    source_rate: Hertz
    delivery: str
    teacher: str = ""
    """As `Clip.teacher`."""
    group: str = ""


@dataclass(frozen=True)
class ClipFilter:
    """Which clips, and in which order; an empty text means all."""

    split: str = ""
    speaker: str = ""
    label: str = ""
    condition: str = ""
    group: str = ""
    """One key with its value, such as ``dialect=kansai``."""
    text: str = ""
    """A part of the transcript, of the file's name or the beginning of the id, whatever the case."""
    order: str = ""
    """A key of `ORDERS`; any other text is the first of them."""


@dataclass(frozen=True)
class ClipTable:
    """The clips of a version, without the dropped ones."""

    table: pa.Table = field(repr=False)
    """In the first of `ORDERS`."""
    hidden: int
    """Clips of the version that were dropped since."""

    @functools.cached_property
    def figures(self) -> VersionFigures:
        """The figures of these clips, counted once."""
        return count_clips(self.table)

    def page(self, wanted: ClipFilter, first: int, size: int) -> tuple[int, list[ShownClip]]:
        """Return how many clips the filter selects, and `size` of them from place `first` on."""
        found = self.table
        for name in ("split", *_NAMES):
            if value := getattr(wanted, name):
                found = found.filter(pc.equal(found[name], value))
        if wanted.group:
            found = found.filter(pc.match_substring(_enclosed(found[GROUP]), f"; {wanted.group};"))
        if part := wanted.text.strip():
            matches: list[Callable[[], pa.ChunkedArray]] = [
                lambda: pc.match_substring(found["text"], part, ignore_case=True),
                lambda: pc.match_substring(found["path"], part, ignore_case=True),
                lambda: pc.starts_with(found["id"], part, ignore_case=True),
            ]
            found = found.filter(functools.reduce(pc.or_, (match() for match in matches)))
        if wanted.order in ORDERS and wanted.order != next(iter(ORDERS)):
            found = found.sort_by(ORDERS[wanted.order])
        return found.num_rows, [ShownClip(**row) for row in found.slice(first, size).to_pylist()]


# the figures of a version are computed once; three tables of 100,000 clips are about 100 MB
@functools.lru_cache(maxsize=3)
def read_clip_table(shards: tuple[Path, ...], dropped: frozenset[str]) -> ClipTable:
    """Return the clips in shards without the ids `dropped`; raise CorpusError if a shard cannot be read."""
    tables = [_read(shard) for shard in shards]
    table = pa.concat_tables(tables) if tables else _empty()
    kept = table.filter(pc.invert(pc.is_in(table["id"], pa.array(sorted(dropped), pa.string())))) if dropped else table
    return ClipTable(kept.sort_by(next(iter(ORDERS.values()))).combine_chunks(), table.num_rows - kept.num_rows)


def read_clip(shard: Path, row: int) -> ShownClip:
    """Return the clip in a row of a shard."""
    return ShownClip(**_normal(read_columns(shard, _COLUMNS).slice(row, 1)).to_pylist()[0])


def _enclosed(groups: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the texts of groups so that each pair has the same characters before and after it."""
    return pc.binary_join_element_wise("; ", groups, ";", "")


def _read(shard: Path) -> pa.Table:
    return _normal(read_columns(shard, _COLUMNS))


def _normal(table: pa.Table) -> pa.Table:
    """Return the table with names in their normal form: older releases stored them as they were delivered."""
    for name in _NAMES:
        encoded = table[name].combine_chunks().dictionary_encode()
        names = pa.array([normal_name(one or "") for one in encoded.dictionary.to_pylist()], pa.string())
        column = names.take(encoded.indices) if len(encoded) else pa.array([], pa.string())
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _empty() -> pa.Table:
    kinds = {name: pa.float64() for name in _FLOATS} | {"source_rate": pa.int32()}
    names = ["path" if name == "audio.path" else name for name in _COLUMNS]
    return pa.table({name: pa.array([], kinds.get(name, pa.string())) for name in names})
