"""Where a server finds the champions: the model registry."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipelines.errors import UsageError
from pipelines.registry.client import model_registry
from pipelines.registry.client.bundle_models import download_bundle
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class FetchedBundle:
    """The bundle of a version on this machine."""

    folder: Path
    digest: str
    """Digest at its registration, which `folder` has."""


class ChampionSource(Protocol):
    """What names the champions and gives their bundles."""

    name: str
    """Address or folder, for people and for clients that ask which registry is served."""

    def champions(self) -> Mapping[Slot, int | None]:
        """Return the champion's version of every slot that is to be served; None for a slot without champion.

        Raises ServiceError if nothing answers.
        """

    def fetch(self, slot: Slot, version: int) -> FetchedBundle:
        """Return the verified bundle of a version; raises ElpError if there is none that can be used."""


class RegistryChampions:
    """The champions of some sites in a registry; of all sites if none is named."""

    def __init__(self, mlflow_uri: str, cache: Path, sites: Collection[str] = ()) -> None:
        self.name = mlflow_uri
        self._cache, self._sites = cache, frozenset(sites)

    def champions(self) -> Mapping[Slot, int | None]:
        """Return the champion's version of every slot of the sites."""
        found = model_registry.list_champions(connect(self.name))
        return {slot: version for slot, version in found.items() if not self._sites or slot.site in self._sites}

    def require_sites(self) -> None:
        """Raise UsageError for a site that has no slot in the registry."""
        known = {slot.site for slot in model_registry.list_champions(connect(self.name))}
        if unknown := sorted(self._sites - known):
            some = ", ".join(sorted(known)[:10]) or "none"
            raise UsageError(f"the registry has no slot of the site {unknown[0]!r}; its sites are: {some}")

    def fetch(self, slot: Slot, version: int) -> FetchedBundle:
        """Return the bundle of a version, from the cache if it was downloaded before."""
        client = connect(self.name)
        found = model_registry.get(client, slot, version)
        return FetchedBundle(download_bundle(client, found, self._cache), found.bundle_digest)
