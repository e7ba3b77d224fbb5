"""A champion that did not pass the gate: set by the word of two persons, until a day. Read from the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.attest.ledger import Entry
from pipelines.settings import Slot


@dataclass(frozen=True)
class Override:
    """An override in force."""

    slot: Slot
    version: int
    reason: str
    asked_by: str
    approved_by: str
    expires: str
    """UTC, ISO 8601."""


def in_force(change: Entry | None, serving: int | None) -> Override | None:
    """The override by which a slot's champion serves; None where it passed the gate.

    Args:
        change: The slot's newest change of champion.
        serving: Number of the champion; None where the slot has none.
    """
    if change is None or change.event != "overridden" or change.after is None or change.after != serving:
        return None
    told = change.detail
    return Override(
        Slot(*change.slot.split("/", 1)),
        change.after,
        change.reason,
        str(told.get("asked_by", "")),
        str(told.get("approved_by", change.who.name)),
        str(told.get("expires", "")),
    )
