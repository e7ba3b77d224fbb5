"""Servers of requests (`elp serve`) as rows: each has one row with its newest report, until it is forgotten."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Column, Connection, String, Table, Text, delete, insert, select
from sqlalchemy.orm import Session

from pipelines.errors import UsageError
from pipelines.registry.delivery.serving_report import ServingReport, read_serving_report
from pipelines.registry.signing.canonical_json import moment
from pipelines.server.ledger import METADATA

SERVING = Table(
    "elp_serving",
    METADATA,
    Column("name", String(400), primary_key=True),
    Column("sender", String(256), nullable=False),
    Column("at", String(40), nullable=False),
    Column("seen_at", String(40), nullable=False),
    Column("report", Text, nullable=False),
)
"""`name` is that of the host and of the sender: nobody writes the row of another's server."""

_KEPT = timedelta(days=1)
"""How long a server is remembered after its last report."""
_MOST = 500
"""Servers of one sender."""


@dataclass(frozen=True)
class ServingRow:
    """A server of requests. Times are UTC, ISO 8601."""

    sender: str
    """``box NAME``, or the user as which it logged in."""
    report: ServingReport
    seen_at: str
    """When the report came, by the clock of this server."""

    @property
    def name(self) -> str:
        """Return the key of the row."""
        return f"{self.report.host} {self.sender}"

    def to_json(self) -> dict[str, Any]:
        """Return what the list shows."""
        return {"sender": self.sender, "seen_at": self.seen_at, "report": asdict(self.report)}


def serving_rows(session: Session | Connection) -> list[ServingRow]:
    """Return the servers by name, without those that were stopped."""
    rows = session.execute(select(SERVING).order_by(SERVING.c.name)).mappings()
    found = []
    for row in rows:
        with contextlib.suppress(UsageError):
            # a later release may have written more into it; the host's next report replaces it
            found.append(ServingRow(row["sender"], read_serving_report(json.loads(row["report"])), row["seen_at"]))
    return [row for row in found if not row.report.ended]


def put_serving_row(session: Session, row: ServingRow) -> None:
    """Write a report in place of the server's earlier one, and forget who is silent for a day.

    Of a box only a later one counts: what it has signed may be sent again by others.
    """
    forgotten = (moment(row.seen_at, "seen_at") - _KEPT).isoformat(timespec="microseconds")
    session.execute(delete(SERVING).where(SERVING.c.seen_at < forgotten))
    before = session.scalar(select(SERVING.c.at).where(SERVING.c.name == row.name))
    if row.report.box and before is not None and moment(before, "at") >= moment(row.report.at, "at"):
        return
    session.execute(delete(SERVING).where(SERVING.c.name == row.name))
    others = select(SERVING.c.name).where(SERVING.c.sender == row.sender).order_by(SERVING.c.seen_at.desc())
    too_many = session.scalars(others.offset(_MOST - 1)).all()
    session.execute(delete(SERVING).where(SERVING.c.name.in_(too_many)))
    text = json.dumps(asdict(row.report))
    values = {"name": row.name, "sender": row.sender, "at": row.report.at, "seen_at": row.seen_at}
    session.execute(insert(SERVING).values(**values, report=text))
