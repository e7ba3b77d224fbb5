"""Columns of shards without their sound."""

import functools
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from elp_core.errors import CorpusError
from elp_core.groups import GROUP


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Return some columns of a Parquet file, ``audio.path`` as `path`; raise CorpusError if it cannot be read.

    The groups are empty if the file has no such column.
    """
    try:
        # not read_table: of the struct, it would read the sound, too, which is 99 % of a shard
        with pq.ParquetFile(path) as file:
            table = file.read(columns=list(columns))
        if GROUP in columns and GROUP not in table.column_names:
            table = table.append_column(GROUP, pa.array([""] * table.num_rows, pa.string()))
        if "audio" in table.column_names:
            place = table.column_names.index("audio")
            table = table.set_column(place, "path", pc.struct_field(table["audio"], "path"))
        return table
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorpusError(f"{path} cannot be read: {error}; restore it with: dvc checkout") from error


@functools.lru_cache(maxsize=512)
def shard_ids(path: Path) -> pa.ChunkedArray:
    """Return the ids of the clips in a shard, in their order; a shard never changes, so the answer is kept."""
    return read_columns(path, ["id"])["id"]
