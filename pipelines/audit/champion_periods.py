"""Who served when, and who stands on a backbone."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, time

from pipelines.audit.learned import ChampionPeriod, reigns_of, status_of
from pipelines.errors import RegistryError, UsageError
from pipelines.registry.slot import Slot

_MIN_DIGITS = 8


@dataclass(frozen=True)
class Champion:
    """What served in a slot at a moment."""

    slot: str
    version: int | None
    """None where the slot had no champion then."""
    bundle: str
    reign: ChampionPeriod | None


@dataclass(frozen=True)
class ChampionsAt:
    """The answer to ``--at``."""

    at: str
    """UTC, ISO 8601: a date alone means its last moment."""
    champions: tuple[Champion, ...]


@dataclass(frozen=True)
class Standing:
    """An adapter on the backbone."""

    slot: str
    version: int
    dataset: str
    bundle: str
    registered: str
    deleted: str
    reigns: tuple[ChampionPeriod, ...]

    @property
    def status(self) -> str:
        """As `status_of` tells it."""
        return status_of(self.reigns, self.deleted)


@dataclass(frozen=True)
class OnBackbone:
    """The answer to ``--backbone``."""

    fingerprint: str
    names: tuple[str, ...]
    """What the trainings called it."""
    adapters: tuple[Standing, ...]


def read_moment(text: str) -> str:
    """A date or moment as people write it, as UTC; without an offset it is meant as UTC.

    Raises:
        UsageError: where it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"--at takes a date or moment such as 2026-03-01 or 2026-03-01T08:00+01:00, got {text!r}"
        ) from (error)
    if len(text) == len("2026-03-01"):
        found = datetime.combine(found.date(), time.max)
    return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC).isoformat(timespec="microseconds")


def champions_at(db: sqlite3.Connection, at: str, slot: Slot | None = None) -> ChampionsAt:
    """What was champion at a moment (as `read_moment` gives it), of one slot or of every slot that ever had one."""
    slots = [str(slot)] if slot else [row[0] for row in db.execute("SELECT DISTINCT slot FROM reign ORDER BY slot")]
    found = {
        row[0]: Champion(row[0], row[1], row[2], ChampionPeriod(*row[3:]))
        for row in db.execute(
            """SELECT slot, version, bundle, since, until, event, who, reason FROM reign
            WHERE since <= :at AND (until IS NULL OR until > :at) AND :slot IN ('', slot)""",
            {"at": at, "slot": str(slot) if slot else ""},
        )
    }
    return ChampionsAt(at, tuple(found.get(name, Champion(name, None, "", None)) for name in slots))


def on_backbone(db: sqlite3.Connection, fingerprint: str, slot: Slot | None = None) -> OnBackbone:
    """Every adapter on a backbone.

    Args:
        db: The index, up to date.
        fingerprint: ``sha256:…``, or its first 8 digits or more.
        slot: Of one slot; None looks at all.

    Raises:
        UsageError: where the digits are too few, no digits, or fit several backbones.
        RegistryError: where no adapter stands on it.
    """
    digits = fingerprint.removeprefix("sha256:").lower()
    if len(digits) < _MIN_DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise UsageError(f"--backbone takes {_MIN_DIGITS} or more digits of a fingerprint, got {fingerprint!r}")
    rows = db.execute(
        """SELECT fingerprint, backbone, slot, version, dataset, bundle, registered, deleted FROM adapter
        WHERE fingerprint BETWEEN ? AND ? AND ? IN ('', slot) ORDER BY slot, version""",
        (f"sha256:{digits}", f"sha256:{digits}g", str(slot) if slot else ""),
    ).fetchall()
    whole = sorted({row[0] for row in rows})
    if not whole:
        raise RegistryError(f"no adapter stands on a backbone {fingerprint}; see one with: elp audit SITE/TASK")
    if len(whole) > 1:
        raise UsageError(f"{len(whole)} backbones begin with {digits} ({', '.join(whole[:3])}); give more digits")
    adapters = tuple(
        Standing(
            row[2],
            row[3],
            row[4] or "",
            row[5],
            row[6],
            deleted=row[7] or "",
            reigns=reigns_of(db, row[2], row[3], row[5]),
        )
        for row in rows
    )
    return OnBackbone(whole[0], tuple(sorted({row[1] for row in rows})), adapters)
