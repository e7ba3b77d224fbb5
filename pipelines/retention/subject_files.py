"""The files of the DVC remote that hold the recordings of a person: those that are held, and those of an erasure."""

import sqlite3
from collections.abc import Iterable

from pipelines.audit.erasure_plan import ErasurePlan
from pipelines.audit.trained_on import rows_of
from pipelines.datasets.subject import Subject
from pipelines.errors import GateRefused, UsageError
from pipelines.registry.holds import Hold, speaker_digest
from pipelines.registry.slot import Slot


def held_files(db: sqlite3.Connection, holds: Iterable[Hold]) -> frozenset[str]:
    """Return the MD5 of every file with a recording of a speaker who is held."""
    wanted = {hold.held.speaker for hold in holds if hold.held.speaker}
    if not wanted:
        return frozenset()
    names = [name for (name,) in db.execute("SELECT DISTINCT speaker FROM clip WHERE speaker != ''")]
    found = set[str]()
    for name in names:
        if speaker_digest(name) in wanted:
            where, values = rows_of(Subject(speaker=name))
            rows = f"SELECT DISTINCT file FROM clip WHERE {where}"
            found |= {md5 for (md5,) in db.execute(f"SELECT md5 FROM file WHERE id IN ({rows})", values)}
    return frozenset(found)


def erased_files(plan: ErasurePlan, holds: Iterable[Hold]) -> frozenset[str]:
    """Return the MD5 of every file that goes for the erasure of a subject, whatever else names it.

    Raise GateRefused if a hold is on the subject or on what holds its recordings, and UsageError if a newest version
    still has them: they are dropped first.
    """
    for hold in holds_on(plan, holds):
        raise GateRefused(
            f"{plan.found.subject} is not erased: {hold.summary}; elp data drop takes the recordings out of "
            f"use all the same. Ask {hold.by}, or end the hold: elp hold end {hold.number} --reason TEXT"
        )
    if current := [one for one in plan.files if one.current]:
        slots = sorted({one.slot for one in plan.slots if one.holds})
        drops = " && ".join(f"elp data drop {slot} {plan.found.subject.option}" for slot in slots)
        raise UsageError(
            f"{current[0].name} is in a newest version and holds {plan.found.subject}; "
            f"drop the recordings first: {drops}"
        )
    return frozenset(one.md5 for one in plan.files)


def holds_on(plan: ErasurePlan, holds: Iterable[Hold]) -> list[Hold]:
    """Return the holds on the subject of an erasure, or on what holds its recordings."""
    return [hold for hold in holds if _covers(hold, plan)]


def _covers(hold: Hold, plan: ErasurePlan) -> bool:
    held, found = hold.held, plan.found
    if held.speaker:
        names = {*found.speakers, *([found.subject.speaker] if found.subject.speaker else [])}
        return held.speaker in map(speaker_digest, names)
    whole = held.slot if held.version is None and held.dataset is None else None
    return any(held.covers_dataset(one.tag) or _same(whole, one.slot) for one in found.holdings) or any(
        held.covers_adapter(one.slot, one.version) for one in found.adapters
    )


def _same(slot: Slot | None, name: str) -> bool:
    return slot is not None and str(slot) == name
