"""Sites × tasks: what serves where, how well, and what waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.ledger.entry import LedgerEntry
from pipelines.registry.slot import Slot
from pipelines.registry.tags import CHALLENGER, CHAMPION, Tags
from pipelines.server.read_models import ledger_records as records
from pipelines.server.read_models import mlflow_tables as models
from pipelines.server.read_models.by_version import Key
from pipelines.server.read_models.drift import Drift, drifts
from pipelines.server.read_models.latest_runs import Run, last_runs
from pipelines.server.read_models.ledger_records import Judged
from pipelines.server.storage.override_requests import OverrideRequest, open_requests


@dataclass(frozen=True)
class Cell:
    """One slot."""

    slot: Slot
    champion: AdapterVersion | None
    judged: Judged | None
    """The newest verdict on the champion."""
    since: str
    """When it began to serve; empty where the ledger does not say."""
    contender: AdapterVersion | None
    """The challenger; else the newest version after the champion, which is not retired."""
    verdict: str
    """On the contender: passed, failed, undecided, not gated; empty without one."""
    stale: bool
    """That verdict is against a champion of before."""
    drift: Drift | None
    """None where nothing measured the champion again since its promotion."""
    override: OverrideRequest | None
    """By which the champion serves, or one that waits for a second person."""
    run: Run | None


@dataclass(frozen=True)
class Grid:
    """All slots."""

    cells: tuple[Cell, ...]
    backbones: tuple[tuple[str, str, int], ...]
    """Name, fingerprint, and the number of champions on it."""

    @property
    def tasks(self) -> list[str]:
        """Columns."""
        return sorted({cell.slot.task for cell in self.cells})

    @property
    def overrides(self) -> list[Cell]:
        """Slots with an override, the next to end first."""
        held = [(cell.override.until, str(cell.slot), cell) for cell in self.cells if cell.override]
        return [cell for *_, cell in sorted(held, key=lambda row: row[:2])]

    @property
    def waiting(self) -> int:
        """Slots whose challenger passed against the champion of now."""
        return sum(cell.verdict == "passed" and not cell.stale for cell in self.cells)


def grid(registry: sa.Connection, tracking: sa.Connection) -> Grid:
    """Read the grid: a fixed number of queries, however many slots there are."""
    slots, marked = models.slots(registry), models.marked(registry)
    by_slot: dict[Slot, list[AdapterVersion]] = {}
    for version in marked:
        by_slot.setdefault(version.slot, []).append(version)
    verdicts = records.verdicts(registry, [(v.slot.model_name, v.version) for v in marked])
    changes, runs = records.last_changes(registry), last_runs(tracking)
    moved = drifts(registry, changes.values(), verdicts)
    held = {request.slot: request for request in open_requests(registry)}
    cells = tuple(
        _cell(
            slot,
            by_slot.get(slot, ()),
            verdicts,
            changes.get(str(slot)),
            moved.get(str(slot)),
            held.get(str(slot)),
            runs.get(slot),
        )
        for slot in slots
    )
    return Grid(cells, _backbones(marked))


def contender(versions: Sequence[AdapterVersion], champion: AdapterVersion | None) -> AdapterVersion | None:
    """The challenger, or the newest version that came after the champion and was not retired."""
    named = [v for v in versions if CHALLENGER in v.aliases]
    after = [v for v in versions if v.status != "retired" and (not champion or v.version > champion.version)]
    return next(iter(named or sorted(after, key=lambda v: -v.version)), None)


def stale(judged: Judged, champion: AdapterVersion | None) -> bool:
    """Whether a verdict is about another champion than serves now."""
    against = judged.statement.against
    return (against.version if against else None) != (champion.version if champion else None)


def _cell(
    slot: Slot,
    versions: Sequence[AdapterVersion],
    verdicts: Mapping[Key, Sequence[Judged]],
    change: LedgerEntry | None,
    moved: Drift | None,
    override: OverrideRequest | None,
    run: Run | None,
) -> Cell:
    champion = next((v for v in versions if CHAMPION in v.aliases), None)
    next_one = contender(versions, champion)
    of_champion = verdicts.get((slot.model_name, champion.version), ()) if champion else ()
    of_next = verdicts.get((slot.model_name, next_one.version), ()) if next_one else ()
    since = change.at if change and champion and change.after == champion.version else ""
    return Cell(
        slot=slot,
        champion=champion,
        judged=of_champion[-1] if of_champion else None,
        since=since,
        contender=next_one,
        verdict=of_next[-1].statement.outcome if of_next else ("not gated" if next_one else ""),
        stale=bool(of_next) and stale(of_next[-1], champion),
        drift=moved if since else None,
        override=override,
        run=run,
    )


def _backbones(marked: Sequence[AdapterVersion]) -> tuple[tuple[str, str, int], ...]:
    names = {v.tags.get(Tags.FINGERPRINT, ""): v.tags.get(Tags.BACKBONE, "") for v in marked}
    serving = Counter(v.tags.get(Tags.FINGERPRINT, "") for v in marked if CHAMPION in v.aliases)
    return tuple(sorted((name, found, serving[found]) for found, name in names.items() if found))
