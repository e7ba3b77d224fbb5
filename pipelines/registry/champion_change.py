"""The result of a champion transition, as the server returns it and its client reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ChampionChange:
    """What a champion transition did to a slot."""

    slot: str
    """``SITE/TASK``."""
    version: int | None
    """The champion now; None after a retirement."""
    previous: int | None
    """The champion before; None if there was none."""
    changed: bool
    """False if `version` was the champion already."""
    event: str
    """promoted, rolled back or retired; empty if nothing changed."""
    seq: int
    """Number of the ledger entry; 0 if nothing changed."""
    by: str
    """The principal: the login, else the name that the caller claimed."""
