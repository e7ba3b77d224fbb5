"""What several slots have in common: a backbone, a dataset version."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sqlalchemy as sa

from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.tags import CHAMPION, Tags
from pipelines.server.read_models import ledger_records as records
from pipelines.server.read_models import mlflow_tables as models
from pipelines.server.read_models.ledger_records import Judged, Origin
from pipelines.server.storage.override_requests import OverrideRequest, open_requests

PAGE = 200
"""Adapters on one page."""


@dataclass(frozen=True)
class Dependent:
    """An adapter that depends on the backbone or the dataset version."""

    version: AdapterVersion
    judged: Judged | None
    lineage: str
    """Digest of its signed lineage; empty where only its tags say so."""
    override: OverrideRequest | None


@dataclass(frozen=True)
class Shared:
    """A backbone or dataset version with what depends on it, champions first, a page of them at a time."""

    name: str
    total: int
    """Adapters that depend on it."""
    champions: int
    """How many of them serve."""
    first: int
    """Place of the page's first adapter among all, from 0."""
    dependents: tuple[Dependent, ...]
    origin: Origin | None
    """The newest signed lineage on the page."""

    @property
    def further(self) -> int | None:
        """Place of the next page's first adapter; None on the last page."""
        after = self.first + len(self.dependents)
        return after if after < self.total else None


def backbone(registry: sa.Connection, fingerprint: str, first: int = 0) -> Shared | None:
    """The adapters and champions on a backbone; None where there is none."""
    found = _shared(registry, Tags.FINGERPRINT, fingerprint, first)
    if found is None:
        return None
    return replace(found, name=found.dependents[0].version.tags.get(Tags.BACKBONE, fingerprint))


def dataset(registry: sa.Connection, tag: str, first: int = 0) -> Shared | None:
    """The adapters trained on a dataset version, or gated on a golden set; None where there is none."""
    return _shared(registry, Tags.GOLDEN if tag.startswith("golden/") else Tags.DATASET, tag, first)


def _shared(registry: sa.Connection, key: str, value: str, first: int) -> Shared | None:
    every = models.tagged(registry, key, value)
    keys = every[first : first + PAGE]
    found = {(v.slot.model_name, v.version): v for v in models.versions_at(registry, keys)}
    if not found:
        return None
    signed, verdicts = records.signed(registry, found), records.verdicts(registry, found)
    held = {(request.slot, request.version): request for request in open_requests(registry)}
    dependents = [
        Dependent(
            version=version,
            judged=verdicts[name][-1] if name in verdicts else None,
            lineage=signed.get(name, ""),
            override=held.get((str(version.slot), version.version)),
        )
        for name in keys
        if (version := found.get(name)) is not None
    ]
    newest = max((name for name in keys if name in signed), key=lambda name: found[name].created, default=None)
    origin = records.origins(registry, [newest])[newest] if newest else None
    there = set(every)
    serving = sum(CHAMPION in named for name, named in models.aliases(registry).items() if name in there)
    return Shared(value, len(every), serving, first, tuple(dependents), origin)
