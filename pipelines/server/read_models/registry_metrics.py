"""Counts of the registry for monitoring: a fixed number of queries, however many slots and versions there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from pipelines.registry.adapter_version import CHAMPION
from pipelines.registry.signing.canonical_json import moment
from pipelines.server.ledger import HEAD, LEDGER, STATEMENTS
from pipelines.server.read_models.mlflow_tables import registered_slots, version_aliases, versions_by_status
from pipelines.server.read_models.signed_records import last_changes
from pipelines.server.storage.override_requests import open_requests


@dataclass(frozen=True)
class RegistryCounts:
    """What the registry holds at this moment."""

    slots: int
    versions: Mapping[str, int]
    """Status (champion, challenger, candidate, …) -> versions that exist."""
    champions: Mapping[str, float]
    """Slot -> since when its champion serves, in seconds since the epoch."""
    verdicts: Mapping[str, int]
    """Outcome -> verdicts that were ever recorded."""
    ledger: int
    """Entries of the ledger."""
    refused: int
    """Requests that the guard refused."""
    overrides: int
    """Override requests that wait or are in force."""


def count_registry(connection: sa.Connection) -> RegistryCounts:
    """Return the counts of the registry."""
    serving = {name for (name, _), names in version_aliases(connection).items() if CHAMPION in names}
    champions = {
        slot: moment(entry.at, "at").timestamp()
        for slot, entry in last_changes(connection).items()
        if f"elp.{slot.replace('/', '.')}" in serving
    }
    outcomes = sa.select(STATEMENTS.c.outcome, sa.func.count()).where(STATEMENTS.c.kind == "verdict")
    refused = sa.select(sa.func.count()).where(LEDGER.c.event == "refused")
    return RegistryCounts(
        slots=len(registered_slots(connection)),
        versions=versions_by_status(connection),
        champions=champions,
        verdicts={str(name): int(n) for name, n in connection.execute(outcomes.group_by(STATEMENTS.c.outcome))},
        ledger=int(connection.scalar(sa.select(HEAD.c.seq)) or 0),
        refused=int(connection.scalar(refused) or 0),
        overrides=len(open_requests(connection)),
    )
