"""Columns of shards without their sound, for pages."""

import functools
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from elp_core.errors import CorpusError


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Return some columns of a Parquet file; raise CorpusError if it cannot be read."""
    try:
        return pq.read_table(path, columns=list(columns))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorpusError(f"{path} cannot be read: {error}; restore it with: dvc checkout") from error


@functools.lru_cache(maxsize=512)
def shard_ids(path: Path) -> pa.ChunkedArray:
    """Return the ids of the clips in a shard, in their order; a shard never changes, so the answer is kept."""
    return read_columns(path, ["id"])["id"]
