"""What the guard itself wrote down: ledger entries, statements, overrides, as values for pages."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from pipelines.guard.tables import ledger, overrides, statements
from pipelines.settings import Slot

CHANGES = ("promoted", "rolled back", "retired", "overridden", "override expired")
"""Events after which another version serves, or none."""


@dataclass(frozen=True)
class Entry:
    """One entry of the ledger."""

    seq: int
    at: str
    """UTC, ISO 8601."""
    event: str
    slot: str
    before: int | None
    """Champion before it."""
    to: int | None
    bundle: str
    who: str
    login: bool
    """Whether the server knows who it was: the name is a login, and not what the caller said."""
    reason: str
    statements: tuple[str, ...]
    detail: Mapping[str, Any]
    hash: str


@dataclass(frozen=True)
class Judged:
    """A verdict statement, as the server keeps it."""

    digest: str
    slot: str
    version: int
    outcome: str
    metric: str
    challenger: float
    interval: tuple[float, float] | None
    """Of the challenger's own value."""
    champion: float | None
    delta: float | None
    delta_interval: tuple[float, float] | None
    against: int | None
    golden: str
    golden_digest: str
    decided_at: str
    evidence: str
    """Folder among the artifacts of the version's run."""
    keyid: str
    bundle: str
    fingerprint: str


@dataclass(frozen=True)
class Override:
    """A champion that did not pass, by the word of two persons, until a day."""

    slot: str
    version: int
    reason: str
    asked_by: str
    approved_by: str
    expires: str
    active: bool


@dataclass(frozen=True)
class Material:
    """Something a bundle was made from, as its lineage statement names it."""

    name: str
    uri: str
    digests: Mapping[str, str]
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Origin:
    """A lineage statement: the bundle and its materials."""

    digest: str
    slot: str
    version: int
    bundle: str
    dataset: str
    keyid: str
    materials: tuple[Material, ...]


def last_changes(connection: sa.Connection, names: Sequence[str] = CHANGES) -> dict[str, Entry]:
    """By slot, the newest entry among these events."""
    newest = (
        sa.select(sa.func.max(ledger.c.seq).label("seq"))
        .where(ledger.c.event.in_(names))
        .group_by(ledger.c.slot)
        .subquery()
    )
    rows = connection.execute(sa.select(ledger.c.entry, ledger.c.hash).join(newest, ledger.c.seq == newest.c.seq))
    return {entry.slot: entry for entry in (read_entry(*row) for row in rows)}


def entries(
    connection: sa.Connection, slot: Slot, names: Sequence[str] = (), before: int | None = None, limit: int = 100
) -> list[Entry]:
    """A slot's entries, newest first, those before a number where one is given."""
    query = sa.select(ledger.c.entry, ledger.c.hash).where(ledger.c.slot == str(slot))
    if names:
        query = query.where(ledger.c.event.in_(names))
    if before is not None:
        query = query.where(ledger.c.seq < before)
    return [read_entry(*row) for row in connection.execute(query.order_by(ledger.c.seq.desc()).limit(limit))]


def read_entry(text: str, digest: str) -> Entry:
    """An entry from its canonical JSON."""
    value = json.loads(text)
    who = value.get("who") or {}
    return Entry(
        seq=int(value["seq"]),
        at=str(value["at"]),
        event=str(value["event"]),
        slot=str(value["slot"] or ""),
        before=value.get("from"),
        to=value.get("to"),
        bundle=str(value.get("bundle") or ""),
        who=str(who.get("name") or "unknown"),
        login=bool(who.get("login")),
        reason=str(value.get("reason") or ""),
        statements=tuple(value.get("statements") or ()),
        detail=value.get("detail") or {},
        hash=digest,
    )
