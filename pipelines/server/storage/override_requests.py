"""Override requests as rows: a slot has one open request at most, which waits for approval or is in force."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, insert, select, update
from sqlalchemy.orm import Session

from pipelines.registry.signing.canonical_json import moment
from pipelines.registry.verdict_statement import ChampionRef
from pipelines.server.ledger import OVERRIDES


@dataclass(frozen=True)
class OverrideRequest:
    """A request for an override. Times are UTC, ISO 8601; a text is empty if it has not happened."""

    id: int
    slot: str
    """``SITE/TASK``."""
    version: int
    bundle: str
    """Digest of the version's bytes when the override was requested."""
    before: int | None
    """The champion at that moment, which returns when the override ends; None if the slot had none."""
    before_bundle: str
    reason: str
    seconds: float
    """How long it is in force after the approval."""
    asked_by: str
    asked_at: str
    approved_by: str
    approved_at: str
    until: str
    ended_at: str
    ended: str
    """How it ended: expired, withdrawn, or the event that changed the champion."""

    @property
    def in_force(self) -> bool:
        """Return whether it was approved and has not ended."""
        return bool(self.approved_at) and not self.ended

    @property
    def champion_before(self) -> ChampionRef | None:
        """Return the champion at the time of the request."""
        return None if self.before is None else ChampionRef(self.before, self.before_bundle)

    @property
    def lasting(self) -> str:
        """Return for people how long it is in force."""
        days = self.seconds / 86_400
        return f"{days:g} day{'' if days == 1 else 's'}"

    @property
    def summary(self) -> str:
        """Return for people: until when, who asked, who approved, why."""
        return f"until {self.until[:16]} UTC, asked by {self.asked_by}, approved by {self.approved_by}: {self.reason}"


def open_request(session: Session, slot: str) -> OverrideRequest | None:
    """Return the slot's request that has not ended, or None."""
    return _one(session, OVERRIDES.c.slot == slot, OVERRIDES.c.ended == "")


def open_requests(session: Session | Connection) -> list[OverrideRequest]:
    """Return every request that has not ended, by slot."""
    query = select(OVERRIDES).where(OVERRIDES.c.ended == "").order_by(OVERRIDES.c.slot)
    return [OverrideRequest(**row) for row in session.execute(query).mappings()]


def request_by_id(session: Session, number: int) -> OverrideRequest | None:
    """Return a request by its number, or None."""
    return _one(session, OVERRIDES.c.id == number)


def add_request(session: Session, **values: object) -> OverrideRequest:
    """Insert a request from those of its fields that are known when it is made."""
    # the columns are NOT NULL: what has not happened is an empty text
    empty = {field.name: "" for field in fields(OverrideRequest) if field.type == "str"}
    row = insert(OVERRIDES).values({**empty, **values}).returning(*OVERRIDES.c)
    return OverrideRequest(**session.execute(row).mappings().one())


def approve_request(session: Session, request: OverrideRequest, name: str, at: str) -> OverrideRequest:
    """Put a request in force from the time `at` on."""
    until = (moment(at, "at") + timedelta(seconds=request.seconds)).isoformat(timespec="microseconds")
    return _update(session, request, approved_by=name, approved_at=at, until=until)


def end_request(session: Session, request: OverrideRequest, how: str, at: str) -> OverrideRequest:
    """Record that a request has ended."""
    return _update(session, request, ended=how, ended_at=at)


def _update(session: Session, request: OverrideRequest, **values: str) -> OverrideRequest:
    row = update(OVERRIDES).where(OVERRIDES.c.id == request.id).values(values).returning(*OVERRIDES.c)
    return OverrideRequest(**session.execute(row).mappings().one())


def _one(session: Session, *where: ColumnElement[bool]) -> OverrideRequest | None:
    row = session.execute(select(OVERRIDES).where(*where)).mappings().one_or_none()
    return None if row is None else OverrideRequest(**row)
