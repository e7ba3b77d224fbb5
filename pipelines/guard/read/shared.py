"""What several slots have in common: a backbone, a dataset version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pipelines.clients.versions import CHAMPION, AdapterVersion, Tags
from pipelines.guard.read import models, records
from pipelines.guard.read.overridden import Override, in_force
from pipelines.guard.read.records import Judged, Origin


@dataclass(frozen=True)
class Dependent:
    """An adapter that depends on the backbone or the dataset version."""

    version: AdapterVersion
    judged: Judged | None
    origin: Origin | None
    """Its signed lineage; None where only its tags say so."""
    override: Override | None

    @property
    def champion(self) -> bool:
        """Whether it serves."""
        return CHAMPION in self.version.aliases


@dataclass(frozen=True)
class Shared:
    """A backbone or dataset version with everything that depends on it, champions first."""

    name: str
    dependents: tuple[Dependent, ...]

    @property
    def champions(self) -> int:
        """How many of them serve."""
        return sum(one.champion for one in self.dependents)

    @property
    def origin(self) -> Origin | None:
        """The newest signed lineage that names it."""
        signed = [one.origin for one in self.dependents if one.origin]
        return max(signed, key=lambda origin: origin.at, default=None)


def backbone(registry: sa.Connection, fingerprint: str) -> Shared | None:
    """Every adapter and champion on a backbone; None where there is none."""
    found = models.tagged(registry, Tags.FINGERPRINT, fingerprint)
    return _shared(registry, found[-1].tags.get(Tags.BACKBONE, ""), found) if found else None


def dataset(registry: sa.Connection, tag: str) -> Shared | None:
    """Every adapter that was trained on a dataset version, or gated on a golden set; None where there is none."""
    key = Tags.GOLDEN if tag.startswith("golden/") else Tags.DATASET
    found = models.tagged(registry, key, tag)
    return _shared(registry, tag, found) if found else None


def _shared(registry: sa.Connection, name: str, versions: Sequence[AdapterVersion]) -> Shared:
    keys = [(v.slot.model_name, v.version) for v in versions]
    serving = [key for key, v in zip(keys, versions, strict=True) if CHAMPION in v.aliases]
    origins, verdicts = records.origins(registry, keys), records.verdicts(registry, serving)
    changes = records.last_changes(registry)
    dependents = [
        Dependent(
            version,
            verdicts[key][-1] if key in verdicts else None,
            origins.get(key),
            in_force(changes.get(str(version.slot)), version.version) if CHAMPION in version.aliases else None,
        )
        for key, version in zip(keys, versions, strict=True)
    ]
    return Shared(name, tuple(sorted(dependents, key=lambda one: not one.champion)))
