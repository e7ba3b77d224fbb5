"""Where champions and their bundles are found: a model registry, or (`box_champions`) the set that a box pulled."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipelines.errors import RegistryError, ServiceError, UsageError
from pipelines.registry.adapter_version import CHAMPION, AdapterVersion
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class Champion:
    """The version that is to answer for a slot."""

    version: int
    bundle: str = ""
    """``sha256:…``, if the source names it: a version of the same number with another bundle is another one."""


@dataclass(frozen=True)
class FetchedBundle:
    """The bundle of a version on this machine."""

    version: int
    folder: Path
    digest: str
    """Digest that the source names; whoever loads `folder` verifies that it has it."""


class ChampionSource(Protocol):
    """What names the champions and gives their bundles."""

    name: str
    """Address or folder, for people and for clients that ask what is served."""

    def champions(self) -> Mapping[Slot, Champion | None]:
        """Return the champion of every slot that is to be served; None for a slot without champion.

        Raises ServiceError if nothing answers.
        """

    def fetch(self, slot: Slot, version: int | str) -> FetchedBundle:
        """Return the bundle of a version, or of the champion; raises ElpError if there is none that can be used."""

    def updates_stopped(self) -> str:
        """Return why no new champions come although the source can be read; empty if they do. Raises nothing."""


class RegistryChampions:
    """The champions of some sites in a registry; of all sites if none is named."""

    def __init__(self, mlflow_uri: str, cache: Path, sites: Collection[str] = ()) -> None:
        self.name = mlflow_uri
        self._cache, self._sites = cache, frozenset(sites)

    def champions(self) -> Mapping[Slot, Champion | None]:
        """Return the champion of every slot of the sites."""
        return {
            slot: None if version is None else Champion(version)
            for slot, version in _champions_at(self.name).items()
            if not self._sites or slot.site in self._sites
        }

    def require_sites(self) -> None:
        """Raise UsageError for a site that has no slot in the registry, ServiceError if the registry does not answer.

        A server that runs goes on without the registry; one that starts has nothing to serve yet.
        """
        try:
            known = {slot.site for slot in _champions_at(self.name)}
        except ServiceError as error:
            raise ServiceError(
                f"{error}\nelp serve needs the registry when it starts, and not afterwards. A machine that has to "
                "start without it serves the set that it pulled: elp pull SITE --from URL, then elp serve --box DIR"
            ) from error
        if unknown := sorted(self._sites - known):
            some = ", ".join(sorted(known)[:10]) or "none"
            raise UsageError(f"the registry has no slot of the site {unknown[0]!r}; its sites are: {some}")

    def fetch(self, slot: Slot, version: int | str) -> FetchedBundle:
        """Return the verified bundle of a version, from the cache if it was downloaded before."""
        from pipelines.registry.client.bundle_models import download_bundle
        from pipelines.registry.client.connection import connect

        found = find_version(slot, self.name, version)
        return FetchedBundle(
            found.version, download_bundle(connect(self.name), found, self._cache), found.bundle_digest
        )

    def updates_stopped(self) -> str:
        """Return an empty text: a registry that answers has the newest champions."""
        return ""


def _champions_at(mlflow_uri: str) -> Mapping[Slot, int | None]:
    # not above: `elp predict` with a server asks the registry without its client
    from pipelines.registry.client import model_registry
    from pipelines.registry.client.connection import connect

    return model_registry.list_champions(connect(mlflow_uri))


def find_version(slot: Slot, mlflow_uri: str, version: int | str) -> AdapterVersion:
    """Return a version of a slot, or its champion; raise RegistryError if there is none."""
    from pipelines.registry.client import model_registry
    from pipelines.registry.client.connection import connect

    client = connect(mlflow_uri)
    found = model_registry.find(client, slot, version)
    if found is None and version == CHAMPION:
        raise RegistryError(
            f"{slot} has no champion yet; train and promote one: elp retrain {slot}, elp promote {slot}"
        )
    return found or model_registry.get(client, slot, version)
