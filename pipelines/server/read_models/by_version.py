"""Rows of a table on some versions of some models, found by the table's index however many versions are wanted."""

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
    """Return the rows of one table on these versions.

    `name` is the column with the model's name, in a table that has a column `version`; `columns` select the version
    among others; `conditions` are on the same table.
    """
    table, these = name.table, wanted(connection, keys)
    same = sa.and_(name == these.c.name, table.c.version == these.c.number, *conditions)
    # an outer join keeps the wanted versions on the left: SQLite then looks each up instead of scanning the table
    found = connection.execute(sa.select(*columns).join_from(these, table, same, isouter=True))
    # the condition is applied here because SQLite would make an inner join of it, in an order of its choice
    return [row for row in found if row.version is not None]


def wanted(connection: sa.Connection, pairs: Iterable[tuple[str, int]]) -> Any:
    """Return pairs as a table expression with the columns `name` and `number`.

    The pairs are passed as one JSON text: SQLAlchemy needs 0.1 s to compile a few hundred pairs of values.
    """
    text = json.dumps(sorted(set(pairs)))
    if connection.dialect.name == "sqlite":
        each = sa.func.json_each(text).table_valued("value")
        name, number = (sa.func.json_extract(each.c.value, f"$[{place}]") for place in (0, 1))
    else:
        each = sa.func.jsonb_array_elements(sa.cast(sa.literal(text), JSONB)).table_valued(sa.column("value", JSONB))
        name, number = each.c.value[0].astext, each.c.value[1].astext
    columns = sa.cast(name, sa.String).label("name"), sa.cast(number, sa.Integer).label("number")
    return sa.select(*columns).cte("wanted")
