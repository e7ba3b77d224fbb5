"""Columns of shards without their sound."""

import functools
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from elp_core.data.extra_columns import with_extra_texts
from elp_core.errors import CorpusError


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Return some columns of a Parquet file, ``audio.path`` as `path`; raise CorpusError if it cannot be read.

    Columns of `EXTRA_TEXTS` that the file does not have are empty.
    """
    try:
        # not read_table: of the struct, it would read the sound, too, which is 99 % of a shard
        with pq.ParquetFile(path) as file:
            table = file.read(columns=list(columns))
        if "audio" in table.column_names:
            place = table.column_names.index("audio")
            table = table.set_column(place, "path", pc.struct_field(table["audio"], "path"))
        return with_extra_texts(table, columns)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorpusError(f"{path} cannot be read: {error}; restore it with: dvc checkout") from error


@functools.lru_cache(maxsize=512)
def shard_ids(path: Path) -> pa.ChunkedArray:
    """Return the ids of the clips in a shard, in their order; a shard never changes, so the answer is kept."""
    return read_columns(path, ["id"])["id"]
