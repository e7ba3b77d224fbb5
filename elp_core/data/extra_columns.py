"""Columns of text that a shard has only if a row of it has a value: shards without one keep their bytes."""

from collections.abc import Collection

import pyarrow as pa

from elp_core.groups import GROUP

EXTRA_TEXTS = ("teacher", GROUP)
"""Names of these columns, in their order in a shard."""


def with_extra_texts(table: pa.Table, wanted: Collection[str]) -> pa.Table:
    """Return the rows of a shard with empty texts in the wanted columns of `EXTRA_TEXTS` that the shard lacks.

    These columns are then the last ones, in their order, so that the tables of several shards fit each other.
    """
    extra = [name for name in EXTRA_TEXTS if name in wanted]
    if not extra:
        return table
    for name in extra:
        if name not in table.column_names:
            table = table.append_column(name, pa.array([""] * table.num_rows, pa.string()))
    return table.select([*(name for name in table.column_names if name not in extra), *extra])
