"""One slot: its champions so far, every version with its verdict, and its part of the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pipelines.registry.adapter_version import CHALLENGER, CHAMPION, AdapterVersion
from pipelines.registry.ledger.entry import MOVES, LedgerEntry
from pipelines.registry.slot import Slot
from pipelines.server.read_models.drift import Drift, find_drifts
from pipelines.server.read_models.grid import find_contender, is_stale, newest_verdict
from pipelines.server.read_models.mlflow_tables import registered_slots, slot_versions
from pipelines.server.read_models.signed_records import (
    RecordedLineage,
    RecordedVerdict,
    newest_lineages,
    read_lineage,
    slot_entries,
    verdicts,
)
from pipelines.server.storage.override_requests import OverrideRequest, open_requests
from pipelines.server.transitions.version_facts import predecessor

_ENTRIES = 100
"""Ledger entries on one page."""
_REFUSALS = 1000
"""Refused requests that are counted; an attack can leave any number."""
_CHANGES = 500
"""Changes of champion that the history shows."""


@dataclass(frozen=True)
class RefusalGroup:
    """Refused requests of one kind by one principal."""

    what: str
    name: str
    count: int
    last: str
    """UTC, ISO 8601."""


@dataclass(frozen=True)
class VersionRow:
    """A version in the slot's table."""

    version: AdapterVersion
    judged: RecordedVerdict | None
    override: OverrideRequest | None
    stale: bool
    """Whether the verdict compares with another champion than the present one; never of the champion itself."""
    rolled_back: LedgerEntry | None
    """The rollback that removed it, if that was the last change: it must be promoted again on purpose."""

    @property
    def choice(self) -> tuple[int, str]:
        """Number and verdict, as a form lists them."""
        if self.judged is None:
            return self.version.version, "not gated"
        text = self.judged.statement.outcome + (" against an older champion" if self.stale else "")
        return self.version.version, f"{text}, rolled back" if self.rolled_back else text


@dataclass(frozen=True)
class SlotPage:
    """The content of a slot's page."""

    slot: Slot
    rows: tuple[VersionRow, ...]
    """Newest first."""
    champion: AdapterVersion | None
    challenger: AdapterVersion | None
    predecessor: int | None
    """The version that a rollback would restore."""
    since: str
    drift: Drift | None
    override: OverrideRequest | None
    """The override by which the champion serves, or one that waits for a second person."""
    changes: tuple[LedgerEntry, ...]
    """Every change of the champion, newest first."""
    ledger: tuple[LedgerEntry, ...]
    older: int | None
    """Number of the oldest entry shown, if there are older ones; else None."""
    refusals: tuple[RefusalGroup, ...] = ()
    """Of the last `_REFUSALS` refused requests, the most frequent first."""

    def row(self, version: int | None) -> VersionRow | None:
        """Return the row of this version; without a number, of the champion or else of the newest version."""
        wanted = version or (self.champion.version if self.champion else None)
        if wanted is None:
            return self.rows[0] if self.rows else None
        return next((row for row in self.rows if row.version.version == wanted), None)

    @property
    def metric(self) -> str:
        """Metric of the newest verdict; empty without any."""
        return next((row.judged.statement.metric for row in self.rows if row.judged), "")

    @property
    def normaliser(self) -> str:
        """Name of the normaliser of the newest verdict; empty for English, the default."""
        newest = next((row.judged.statement for row in self.rows if row.judged), None)
        return newest.normaliser.name if newest and newest.normaliser else ""

    def comparable(self, judged: RecordedVerdict) -> bool:
        """Return whether a verdict measured as the newest one did: by its metric, under its normaliser."""
        newest = next((row.judged.statement for row in self.rows if row.judged), judged.statement)
        return (judged.statement.metric, judged.statement.normaliser) == (newest.metric, newest.normaliser)

    @property
    def preselected(self) -> int | None:
        """The version that a promotion would accept: the challenger, or else the newest such version; None without any.

        It passed against the present champion, and was not rolled back.
        """
        found = [
            row.version
            for row in self.rows
            if row.judged and row.judged.statement.outcome == "passed" and not row.stale and row.rolled_back is None
        ]
        allowed = [version for version in found if version.status in ("challenger", "candidate")]
        return next(iter(sorted((v.status != "challenger", -v.version, v.version) for v in allowed)), (0, 0, None))[2]

    @property
    def pair(self) -> tuple[int, int]:
        """Two versions to compare: the champion or else the oldest, and the contender or else the newest other one."""
        numbers = [row.version.version for row in self.rows]
        one = self.champion.version if self.champion else numbers[-1]
        contender = find_contender([row.version for row in self.rows], self.champion)
        others = [number for number in numbers if number != one] or [one]
        return one, contender.version if contender and contender.version != one else others[0]

    @property
    def overridable(self) -> list[tuple[int, str]]:
        """Versions for which an override can be requested, with their verdict, newest first."""
        return [row.choice for row in self.rows if CHAMPION not in row.version.aliases]

    @property
    def promotable(self) -> list[tuple[int, str]]:
        """Versions for which a promotion can be requested, with their verdict, the challenger first."""
        found = [
            row.choice
            for row in self.rows
            if CHAMPION not in row.version.aliases and (row.judged or row.version.status == "candidate")
        ]
        challenger = self.challenger.version if self.challenger else None
        return sorted(found, key=lambda pair: (pair[0] != challenger, -pair[0]))


def read_slot_page(
    registry: sa.Connection, slot: Slot, before: int | None = None, *, refusals: bool = False
) -> SlotPage | None:
    """Read a slot's page, with the ledger's entries before a number; None if the registry has no such slot.

    `refusals` lists the refused requests among the entries; they are counted in any case.
    """
    versions = slot_versions(registry, slot)
    ledger = slot_entries(registry, slot, before=before, limit=_ENTRIES + 1, refusals=refusals)
    refused = slot_entries(registry, slot, ["refused"], limit=_REFUSALS)
    if not versions and not ledger and not refused and slot not in registered_slots(registry):
        return None
    judged = verdicts(registry, [version.model_version for version in versions])
    changes = slot_entries(registry, slot, MOVES, limit=_CHANGES)
    champion = next((v for v in versions if CHAMPION in v.aliases), None)
    last = changes[0] if changes else None
    since = last.at if last and champion and last.after == champion.version else ""
    held = next((request for request in open_requests(registry) if request.slot == str(slot)), None)
    gone = rolled_back(changes)
    rows = [
        VersionRow(
            version=version,
            judged=(newest := newest_verdict(judged, version)),
            override=held if held and held.version == version.version else None,
            # the champion's own verdict compared it with the one before
            stale=newest is not None and version is not champion and is_stale(newest, champion),
            rolled_back=gone.get(version.version),
        )
        for version in versions
    ]
    back = predecessor(registry, str(slot), champion.version) if champion else None
    return SlotPage(
        slot=slot,
        rows=tuple(rows),
        champion=champion,
        challenger=next((v for v in versions if CHALLENGER in v.aliases), None),
        predecessor=back if back in {version.version for version in versions} else None,
        since=since,
        drift=find_drifts(registry, changes[:1], judged).get(str(slot)) if since else None,
        override=held,
        changes=tuple(changes),
        ledger=tuple(ledger[:_ENTRIES]),
        older=ledger[_ENTRIES - 1].seq if len(ledger) > _ENTRIES else None,
        refusals=group_refusals(refused),
    )


def group_refusals(refused: Sequence[LedgerEntry]) -> tuple[RefusalGroup, ...]:
    """Return refused requests (newest first) by what was tried and by whom, the most frequent group first."""
    groups: dict[tuple[str, str], list[LedgerEntry]] = {}
    for entry in refused:
        groups.setdefault((str(entry.detail.get("what", "")) or "a request", entry.principal.name), []).append(entry)
    found = [RefusalGroup(what, name, len(group), group[0].at) for (what, name), group in groups.items()]
    return tuple(sorted(found, key=lambda group: -group.count))


def version_lineage(registry: sa.Connection, slot: Slot, version: int) -> RecordedLineage | None:
    """Return the newest signed lineage of a version, or None."""
    key = slot.model_name, version
    row = newest_lineages(registry, [key]).get(key)
    return None if row is None else read_lineage(row)


def rolled_back(changes: Sequence[LedgerEntry]) -> dict[int, LedgerEntry]:
    """Return, by version, the rollback that removed it, if no later one of the `changes` (newest first) concerns it."""
    last = {version: change for change in reversed(changes) for version in (change.before, change.after) if version}
    return {
        version: change
        for version, change in last.items()
        if change.event in ("rolled back", "migrated back") and change.before == version
    }
