"""What the server reports of every adapter that was ever registered, and of the times when it was champion."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RegisteredAdapter:
    """An adapter version that the ledger recorded. Nothing is verified: `elp audit --verify` does that."""

    slot: str
    version: int
    bundle: str
    registered: str
    """UTC, ISO 8601."""
    deleted: str
    """When the version or its model was deleted; empty while it exists."""
    statement: str
    """Digest of its lineage statement; empty if the server has none. The fields below are then empty, too."""
    backbone: str
    fingerprint: str
    dataset: str
    """Tag of the dataset version."""
    revision: str
    """Git commit of the dataset version."""
    clips: str
    """``sha256:…`` of the ids of the clips that the training used."""


@dataclass(frozen=True)
class ChampionPeriod:
    """A time for which one version was its slot's champion, as the ledger says."""

    seq: int
    """Number of the ledger entry that began it."""
    slot: str
    version: int
    bundle: str
    since: str
    """UTC, ISO 8601."""
    until: str | None
    """None while it lasts."""
    event: str
    by: str
    """Name of the principal who made the change."""
    reason: str

    def of(self, adapter: RegisteredAdapter) -> bool:
        """Return whether this adapter was the champion: the same version of a model made again is another one."""
        return (self.slot, self.version, self.bundle) == (adapter.slot, adapter.version, adapter.bundle)
