"""Wishes for an override, as rows: one open at most for a slot, waiting for a second person or in force."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, insert, select, update
from sqlalchemy.orm import Session

from pipelines.registry.signing.canonical_json import moment
from pipelines.server.ledger.ledger_tables import OVERRIDES
from pipelines.server.transitions.rules import Standing


@dataclass(frozen=True)
class Request:
    """A wish for an override. Moments are UTC, ISO 8601; empty for what has not happened."""

    id: int
    slot: str
    """``SITE/TASK``."""
    version: int
    bundle: str
    """What the version's bytes hashed to when it was asked for."""
    before: int | None
    """The champion of that moment, which comes back; None where there was none."""
    before_bundle: str
    reason: str
    seconds: float
    """How long it is to hold from the approval on."""
    asked_by: str
    asked_at: str
    approved_by: str
    approved_at: str
    until: str
    ended_at: str
    ended: str
    """How it ended: expired, withdrawn, or the event that moved the champion on."""

    @property
    def in_force(self) -> bool:
        """Whether it was approved and has not ended."""
        return bool(self.approved_at) and not self.ended

    @property
    def standing(self) -> Standing | None:
        """The champion that it was asked against."""
        return None if self.before is None else Standing(self.before, self.before_bundle)

    @property
    def lasting(self) -> str:
        """For people: how long it is to hold."""
        days = self.seconds / 86_400
        return f"{days:g} day{'' if days == 1 else 's'}"

    @property
    def told(self) -> str:
        """For people: until when, who asked, who approved, why."""
        return f"until {self.until[:16]} UTC, asked by {self.asked_by}, approved by {self.approved_by}: {self.reason}"


def open_request(session: Session, slot: str) -> Request | None:
    """The slot's request that has not ended, or None."""
    return _one(session, OVERRIDES.c.slot == slot, OVERRIDES.c.ended == "")


def open_requests(session: Session | Connection) -> list[Request]:
    """Every request that has not ended, by slot."""
    query = select(OVERRIDES).where(OVERRIDES.c.ended == "").order_by(OVERRIDES.c.slot)
    return [Request(**row) for row in session.execute(query).mappings()]


def by_id(session: Session, number: int) -> Request | None:
    """A request by its number."""
    return _one(session, OVERRIDES.c.id == number)


def add(session: Session, **values: object) -> Request:
    """Write down a wish; what has not happened yet is left out."""
    empty = {
        field.name: "" for field in fields(Request) if field.name.endswith(("_by", "_at")) or field.name == "until"
    }
    row = insert(OVERRIDES).values({**empty, "ended": "", **values}).returning(OVERRIDES.c.id)
    found = by_id(session, session.execute(row).scalar_one())
    assert found is not None
    return found


def approve(session: Session, request: Request, who: str, at: str) -> Request:
    """It holds from now on."""
    until = (moment(at, "at") + timedelta(seconds=request.seconds)).isoformat(timespec="microseconds")
    values = {"approved_by": who, "approved_at": at, "until": until}
    session.execute(update(OVERRIDES).where(OVERRIDES.c.id == request.id).values(values))
    found = by_id(session, request.id)
    assert found is not None
    return found


def end(session: Session, request: Request, how: str, at: str) -> None:
    """It is over."""
    session.execute(update(OVERRIDES).where(OVERRIDES.c.id == request.id).values(ended=how, ended_at=at))


def _one(session: Session, *where: ColumnElement[bool]) -> Request | None:
    row = session.execute(select(OVERRIDES).where(*where)).mappings().one_or_none()
    return None if row is None else Request(**row)
