"""The table of all slots, by site and task: the champion, its metric, and what waits for a decision."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pipelines.registry.adapter_version import CHALLENGER, CHAMPION, AdapterVersion
from pipelines.registry.slot import Slot
from pipelines.server.read_models import mlflow_tables
from pipelines.server.read_models.by_version import Key
from pipelines.server.read_models.drift import Drift, find_drifts
from pipelines.server.read_models.mlflow_tables import TrainingRun
from pipelines.server.read_models.signed_records import RecordedVerdict, last_changes, verdicts
from pipelines.server.storage.override_requests import OverrideRequest, open_requests


@dataclass(frozen=True)
class Cell:
    """One slot."""

    slot: Slot
    champion: AdapterVersion | None
    judged: RecordedVerdict | None
    """The newest verdict on the champion."""
    since: str
    """When it became champion; empty if the ledger has no entry about it."""
    contender: AdapterVersion | None
    """The challenger, or else the newest version after the champion that is not retired."""
    verdict: str
    """On the contender: passed, failed, undecided or not gated; empty without a contender."""
    stale: bool
    """Whether that verdict compares with a former champion."""
    drift: Drift | None
    """None if no verdict measured the champion again since its promotion."""
    override: OverrideRequest | None
    """The override by which the champion serves, or one that waits for a second person."""
    run: TrainingRun | None
    newest: str = ""
    """When the newest of its versions here was made: UTC, ISO 8601."""


@dataclass(frozen=True)
class Grid:
    """All slots of the registry."""

    cells: tuple[Cell, ...]
    backbones: tuple[tuple[str, str, int], ...]
    """Name, fingerprint, and the number of champions on it."""

    @property
    def tasks(self) -> list[str]:
        """Tasks that any slot has: the columns."""
        return sorted({cell.slot.task for cell in self.cells})

    @property
    def overrides(self) -> list[Cell]:
        """Slots with an override, the one that ends next first."""
        held = [(cell.override.until, str(cell.slot), cell) for cell in self.cells if cell.override]
        return [cell for *_, cell in sorted(held, key=lambda row: row[:2])]

    @property
    def waiting(self) -> int:
        """Number of slots whose challenger passed against the present champion."""
        return sum(cell.verdict == "passed" and not cell.stale for cell in self.cells)


def read_grid(registry: sa.Connection, tracking: sa.Connection) -> Grid:
    """Read the grid in a fixed number of queries, however many slots there are."""
    current = mlflow_tables.current_versions(registry)
    by_slot: dict[Slot, list[AdapterVersion]] = {}
    for version in current:
        by_slot.setdefault(version.slot, []).append(version)
    judged = verdicts(registry, [version.model_version for version in current])
    changes, runs = last_changes(registry), mlflow_tables.last_runs(tracking)
    drifts = find_drifts(registry, changes.values(), judged)
    held = {request.slot: request for request in open_requests(registry)}
    cells = []
    for slot in mlflow_tables.registered_slots(registry):
        versions, change = by_slot.get(slot, ()), changes.get(str(slot))
        champion = next((v for v in versions if CHAMPION in v.aliases), None)
        contender = find_contender(versions, champion)
        of_champion, of_contender = newest_verdict(judged, champion), newest_verdict(judged, contender)
        since = change.at if change and champion and change.after == champion.version else ""
        unjudged = "not gated" if contender else ""
        cell = Cell(
            slot=slot,
            champion=champion,
            judged=of_champion,
            since=since,
            contender=contender,
            verdict=of_contender.statement.outcome if of_contender else unjudged,
            stale=of_contender is not None and is_stale(of_contender, champion),
            drift=drifts.get(str(slot)) if since else None,
            override=held.get(str(slot)),
            run=runs.get(slot),
            newest=max((version.created for version in versions), default=""),
        )
        cells.append(cell)
    names = {version.fingerprint: version.backbone for version in current if version.fingerprint}
    serving = Counter(version.fingerprint for version in current if CHAMPION in version.aliases)
    backbones = sorted((name, fingerprint, serving[fingerprint]) for fingerprint, name in names.items())
    return Grid(tuple(cells), tuple(backbones))


def newest_verdict(
    judged: Mapping[Key, Sequence[RecordedVerdict]], version: AdapterVersion | None
) -> RecordedVerdict | None:
    """Return the newest of the verdicts on a version, which come oldest first; None without any."""
    return next(reversed(judged.get(version.model_version, ())), None) if version else None


def find_contender(versions: Sequence[AdapterVersion], champion: AdapterVersion | None) -> AdapterVersion | None:
    """Return the challenger, or else the newest version after the champion that was not retired."""
    named = [v for v in versions if CHALLENGER in v.aliases]
    after = [v for v in versions if v.status != "retired" and (not champion or v.version > champion.version)]
    return next(iter(named or sorted(after, key=lambda v: -v.version)), None)


def is_stale(judged: RecordedVerdict, champion: AdapterVersion | None) -> bool:
    """Return whether a verdict compares with another champion than the present one."""
    against = judged.statement.against
    return (against.version if against else None) != (champion.version if champion else None)
