"""Edge boxes as rows: each name has one row, from its newest invitation on."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.orm import Session

from pipelines.registry.signing.envelope import read_envelope
from pipelines.server.ledger import BOXES


@dataclass(frozen=True)
class BoxRow:
    """A box. Times are UTC, ISO 8601; a text is empty if it has not happened."""

    name: str
    site: str
    token: str
    """SHA-256 (hex) of the one-time token."""
    invited_by: str
    invited_at: str
    until: str
    """When the token expires."""
    enrolled_at: str = ""
    access: str = ""
    """SHA-256 (hex) of the token by which it reads its site's delivery."""
    pem: str = ""
    """The public key of its reports."""
    ended_at: str = ""
    report: str = ""
    """Envelope of its newest report, verified when it came."""
    report_at: str = ""

    @property
    def state(self) -> str:
        """``invited``, ``enrolled`` or ``revoked``."""
        return "revoked" if self.ended_at else "enrolled" if self.enrolled_at else "invited"

    @property
    def reported(self) -> dict[str, Any]:
        """Return the values of the newest report; empty without one."""
        return dict(json.loads(read_envelope(self.report).payload)) if self.report else {}

    def to_json(self) -> dict[str, Any]:
        """Return what the list shows: nothing of the tokens."""
        shown = ("name", "site", "state", "invited_by", "invited_at", "until", "enrolled_at", "ended_at", "report_at")
        return {name: getattr(self, name) for name in shown} | {"report": self.reported}


def box_rows(session: Session | Connection) -> list[BoxRow]:
    """Return all boxes by name."""
    return [BoxRow(**row) for row in session.execute(select(BOXES).order_by(BOXES.c.name)).mappings()]


def box_row(session: Session, name: str) -> BoxRow | None:
    """Return a box, or None."""
    row = session.execute(select(BOXES).where(BOXES.c.name == name)).mappings().one_or_none()
    return None if row is None else BoxRow(**row)


def put_box(session: Session, box: BoxRow) -> None:
    """Write the row of a new invitation in place of an earlier one."""
    session.execute(delete(BOXES).where(BOXES.c.name == box.name))
    session.execute(insert(BOXES).values({field.name: getattr(box, field.name) for field in fields(box)}))


def change_box_row(session: Session, name: str, **values: str) -> None:
    """Change the row of a box."""
    session.execute(update(BOXES).where(BOXES.c.name == name).values(values))
