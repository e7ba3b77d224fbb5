"""The adapters that depend on one backbone or on one dataset version."""

from dataclasses import dataclass, replace

import sqlalchemy as sa

from pipelines.registry.adapter_version import CHAMPION, AdapterVersion, Tags
from pipelines.server.read_models import mlflow_tables
from pipelines.server.read_models.signed_records import (
    RecordedLineage,
    RecordedVerdict,
    newest_lineages,
    read_lineage,
    verdicts,
)
from pipelines.server.storage.override_requests import OverrideRequest, open_requests

PAGE = 200
"""Adapters on one page."""


@dataclass(frozen=True)
class Dependent:
    """An adapter that depends on the backbone or the dataset version."""

    version: AdapterVersion
    judged: RecordedVerdict | None
    lineage: str
    """Digest of its signed lineage; empty if only its tags name the backbone or the dataset version."""
    override: OverrideRequest | None


@dataclass(frozen=True)
class Dependents:
    """What depends on a backbone or a dataset version, champions first, one page at a time."""

    name: str
    total: int
    """Adapters on all pages."""
    champions: int
    """How many of them are champion."""
    first: int
    """Place of the page's first adapter among all, from 0."""
    dependents: tuple[Dependent, ...]
    origin: RecordedLineage | None
    """The newest signed lineage on the page."""

    @property
    def further(self) -> int | None:
        """Place of the next page's first adapter; None on the last page."""
        after = self.first + len(self.dependents)
        return after if after < self.total else None


def backbone_dependents(registry: sa.Connection, fingerprint: str, first: int = 0) -> Dependents | None:
    """Return a page of the adapters on a backbone; None if there is none."""
    found = _dependents(registry, Tags.FINGERPRINT, fingerprint, first)
    return found and replace(found, name=found.dependents[0].version.backbone or fingerprint)


def dataset_dependents(registry: sa.Connection, tag: str, first: int = 0) -> Dependents | None:
    """Return a page of the adapters trained on a dataset version, or gated on a golden set; None if there is none."""
    return _dependents(registry, Tags.GOLDEN if tag.startswith("golden/") else Tags.DATASET, tag, first)


def _dependents(registry: sa.Connection, tag: str, value: str, first: int) -> Dependents | None:
    aliases = mlflow_tables.version_aliases(registry)
    champions = {key for key, names in aliases.items() if CHAMPION in names}
    every = sorted(mlflow_tables.versions_by_tag(registry, tag, value), key=lambda key: (key not in champions, *key))
    keys = every[first : first + PAGE]
    found = {version.model_version: version for version in mlflow_tables.versions_at(registry, keys)}
    if not found:
        return None
    signed, judged = newest_lineages(registry, found), verdicts(registry, found)
    held = {(request.slot, request.version): request for request in open_requests(registry)}
    dependents = [
        Dependent(
            version=version,
            judged=judged[key][-1] if key in judged else None,
            lineage=signed[key].digest if key in signed else "",
            override=held.get((str(version.slot), version.version)),
        )
        for key in keys
        if (version := found.get(key)) is not None
    ]
    newest = max((key for key in keys if key in signed), key=lambda key: found[key].created, default=None)
    origin = read_lineage(signed[newest]) if newest else None
    return Dependents(value, len(every), len(champions.intersection(every)), first, tuple(dependents), origin)
