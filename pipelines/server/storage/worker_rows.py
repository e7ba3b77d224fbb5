"""Workers as rows: each name has one row, from its newest invitation on."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from pipelines.server.ledger import WORKERS


@dataclass(frozen=True)
class WorkerRow:
    """A worker. Times are UTC, ISO 8601; a text is empty if it has not happened."""

    name: str
    token: str
    """SHA-256 (hex) of the one-time token."""
    addresses: str
    """JSON: the addresses that the worker gets."""
    invited_by: str
    invited_at: str
    until: str
    """When the token expires."""
    enrolled_at: str = ""
    keys: str = ""
    """JSON: the ids of its keys."""
    ended_at: str = ""
    ended: str = ""
    """``revoked`` or ``retired``."""

    @property
    def key_ids(self) -> list[str]:
        """Return the ids of its keys; empty if it is not enrolled."""
        return list(json.loads(self.keys)) if self.keys else []

    @property
    def state(self) -> str:
        """``invited``, ``enrolled``, ``revoked`` or ``retired``."""
        return self.ended or ("enrolled" if self.enrolled_at else "invited")

    def to_json(self) -> dict[str, Any]:
        """Return what the list shows: nothing of the token."""
        shown = ("name", "state", "invited_by", "invited_at", "until", "enrolled_at", "ended_at")
        return {name: getattr(self, name) for name in shown} | {"keys": self.key_ids}


def worker_rows(session: Session) -> list[WorkerRow]:
    """Return all workers by name."""
    return [WorkerRow(**row) for row in session.execute(select(WORKERS).order_by(WORKERS.c.name)).mappings()]


def worker_row(session: Session, name: str) -> WorkerRow | None:
    """Return a worker, or None."""
    row = session.execute(select(WORKERS).where(WORKERS.c.name == name)).mappings().one_or_none()
    return None if row is None else WorkerRow(**row)


def put_worker(session: Session, worker: WorkerRow) -> None:
    """Write the row of a new invitation in place of an earlier one."""
    session.execute(delete(WORKERS).where(WORKERS.c.name == worker.name))
    session.execute(insert(WORKERS).values({field.name: getattr(worker, field.name) for field in fields(worker)}))


def change_worker(session: Session, name: str, **values: str) -> None:
    """Change the row of a worker."""
    session.execute(update(WORKERS).where(WORKERS.c.name == name).values(values))
