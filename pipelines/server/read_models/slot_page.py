"""One slot: its champions so far, every version with its verdict, and its ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.ledger.entry import MOVES, LedgerEntry
from pipelines.registry.slot import Slot
from pipelines.registry.tags import CHALLENGER, CHAMPION
from pipelines.server.read_models import ledger_records as records
from pipelines.server.read_models import mlflow_tables as models
from pipelines.server.read_models.by_version import Key
from pipelines.server.read_models.drift import Drift, drifts
from pipelines.server.read_models.grid import stale
from pipelines.server.read_models.ledger_records import Judged, Origin
from pipelines.server.storage.override_requests import OverrideRequest, open_requests
from pipelines.server.transitions.version_facts import predecessor

_ENTRIES = 100
"""Ledger entries on one page."""
_CHANGES = 500
"""Changes of champion that the history goes back."""


@dataclass(frozen=True)
class VersionRow:
    """A version in the slot's table."""

    version: AdapterVersion
    judged: Judged | None
    override: OverrideRequest | None
    stale: bool
    """The verdict is against another champion than serves now."""
    rolled_back: LedgerEntry | None
    """The rollback that ended it, where that is the last that happened to it: it comes back on purpose only."""


@dataclass(frozen=True)
class SlotPage:
    """What the page of a slot shows."""

    slot: Slot
    rows: tuple[VersionRow, ...]
    """Newest first."""
    champion: AdapterVersion | None
    challenger: AdapterVersion | None
    predecessor: int | None
    """The version that a rollback would bring back."""
    since: str
    drift: Drift | None
    override: OverrideRequest | None
    """By which the champion serves, or one that waits for a second person."""
    changes: tuple[LedgerEntry, ...]
    """Every time another version began to serve, or none; newest first."""
    ledger: tuple[LedgerEntry, ...]
    older: int | None
    """Number of an entry before which there are more; None where there are none."""

    def row(self, version: int | None) -> VersionRow | None:
        """The row of this version; without a number, of the champion, else of the newest."""
        wanted = version or (self.champion.version if self.champion else None)
        if wanted is None:
            return self.rows[0] if self.rows else None
        return next((row for row in self.rows if row.version.version == wanted), None)

    @property
    def metric(self) -> str:
        """Of the newest verdict; empty without any."""
        return next((row.judged.statement.metric for row in self.rows if row.judged), "")

    @property
    def overridable(self) -> list[tuple[int, str]]:
        """Versions that one may ask to serve by an override, with their verdict, the newest first."""
        return [(row.version.version, _told(row)) for row in self.rows if CHAMPION not in row.version.aliases]

    @property
    def promotable(self) -> list[tuple[int, str]]:
        """Versions that one may ask to promote, with their verdict, the challenger first."""
        found = [
            (row.version.version, _told(row))
            for row in self.rows
            if CHAMPION not in row.version.aliases and (row.judged or row.version.status == "candidate")
        ]
        challenger = self.challenger.version if self.challenger else None
        return sorted(found, key=lambda pair: (pair[0] != challenger, -pair[0]))


def slot_page(registry: sa.Connection, slot: Slot, before: int | None = None) -> SlotPage | None:
    """Read a slot's page; None where the registry has no such slot.

    Args:
        registry: Connection to the registry's database.
        slot: The slot.
        before: Show the ledger's entries before this number.
    """
    versions = models.versions_of(registry, slot)
    ledger = records.entries(registry, slot, before=before, limit=_ENTRIES + 1)
    if not versions and not ledger and slot not in models.slots(registry):
        return None
    verdicts = records.verdicts(registry, [(slot.model_name, v.version) for v in versions])
    changes = records.entries(registry, slot, MOVES, limit=_CHANGES)
    champion = next((v for v in versions if CHAMPION in v.aliases), None)
    last = changes[0] if changes else None
    since = last.at if last and champion and last.after == champion.version else ""
    held = next((request for request in open_requests(registry) if request.slot == str(slot)), None)
    gone = rolled_back(changes)
    rows = tuple(_row(version, verdicts, held, champion, gone.get(version.version)) for version in versions)
    back = predecessor(registry, str(slot), champion.version) if champion else None
    return SlotPage(
        slot=slot,
        rows=rows,
        champion=champion,
        challenger=next((v for v in versions if CHALLENGER in v.aliases), None),
        predecessor=back if back in {version.version for version in versions} else None,
        since=since,
        drift=drifts(registry, changes[:1], verdicts).get(str(slot)) if since else None,
        override=held,
        changes=tuple(changes),
        ledger=tuple(ledger[:_ENTRIES]),
        older=ledger[_ENTRIES - 1].seq if len(ledger) > _ENTRIES else None,
    )


def origin(registry: sa.Connection, slot: Slot, version: int) -> Origin | None:
    """The signed lineage of a version; None where there is none."""
    key = (slot.model_name, version)
    return records.origins(registry, [key]).get(key)


def _row(
    version: AdapterVersion,
    verdicts: Mapping[Key, Sequence[Judged]],
    held: OverrideRequest | None,
    champion: AdapterVersion | None,
    gone: LedgerEntry | None,
) -> VersionRow:
    judged = verdicts.get((version.slot.model_name, version.version), ())
    override = held if held and held.version == version.version else None
    newest = judged[-1] if judged else None
    return VersionRow(version, newest, override, newest is not None and stale(newest, champion), gone)


def _told(row: VersionRow) -> str:
    if row.judged is None:
        return "not gated"
    told = row.judged.statement.outcome + (" against an older champion" if row.stale else "")
    return f"{told}, rolled back" if row.rolled_back else told


def rolled_back(changes: Sequence[LedgerEntry]) -> dict[int, LedgerEntry]:
    """By version, the rollback that took it out of service, where nothing has happened to it since.

    Args:
        changes: Every change of the slot's champion, newest first.
    """
    last = {version: change for change in reversed(changes) for version in (change.before, change.after) if version}
    return {
        version: change
        for version, change in last.items()
        if change.event == "rolled back" and change.before == version
    }
