"""Rows that belong to some versions of some models, found by an index however many there are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

Key = tuple[str, int]
"""Model name and version."""


def rows_at(
    connection: sa.Connection, keys: Iterable[Key], name: Any, columns: Iterable[Any], *conditions: Any
) -> list[Any]:
    """The rows of one table on these versions.

    The versions go in as one JSON text, since SQLAlchemy takes a tenth of a second to compile a few hundred pairs of
    values. They are joined from the left, so that SQLite goes from them to the table, and not through all of it.

    Args:
        connection: To the registry's database.
        keys: The versions.
        name: Column with the model's name; the table has a column `version`.
        columns: What to select, the version among it.
        conditions: Further ones on the table.
    """
    table, these = name.table, wanted(connection, keys)
    same = sa.and_(name == these.c.name, table.c.version == these.c.number, *conditions)
    found = connection.execute(sa.select(*columns).join_from(these, table, same, isouter=True))
    # left out here and not by the query: SQLite would make a plain join of it, in the order that it likes
    return [row for row in found if row.version is not None]


def wanted(connection: sa.Connection, pairs: Iterable[tuple[str, int]]) -> Any:
    """Pairs as a table to join from, with the columns `name` and `number`."""
    text = json.dumps(sorted(set(pairs)))
    if connection.dialect.name == "sqlite":
        each = sa.func.json_each(text).table_valued("value")
        name, number = (sa.func.json_extract(each.c.value, f"$[{place}]") for place in (0, 1))
    else:
        each = sa.func.jsonb_array_elements(sa.cast(sa.literal(text), JSONB)).table_valued(sa.column("value", JSONB))
        name, number = each.c.value[0].astext, each.c.value[1].astext
    columns = sa.cast(name, sa.String).label("name"), sa.cast(number, sa.Integer).label("number")
    return sa.select(*columns).cte("wanted")
