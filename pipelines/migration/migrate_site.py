"""Train and judge every slot of a site on another backbone; the site is switched by another step.

There is no state of its own: what is done is in the registry (a version by its training key, a verdict by its subject)
and in the ledger, so a run that was killed at any moment is run again and continues.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from elp_core.errors import ElpError
from pipelines.errors import RegistryError, ServiceError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from pipelines.migration.migration_plan import plan_migration
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client import model_registry
from pipelines.registry.client.backbones import state_site_migration, stated_migrations
from pipelines.registry.client.bundle_models import download_bundle
from pipelines.registry.client.connection import connect
from pipelines.registry.lineage import Lineage
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from mlflow import MlflowClient

Log = Callable[[str], None]
State = Literal["switched", "ready", "not passed", "outdated", "not judged", "not trained"]


@dataclass(frozen=True)
class SlotMigration:
    """How far a slot is on its way to another backbone."""

    slot: str
    champion: int
    """The champion of this moment."""
    version: int | None
    """The newest version on the new backbone; None if there is none."""
    state: State
    detail: str = ""
    """Why it is not ready, for people."""


@dataclass(frozen=True)
class SiteMigration:
    """How far a site is."""

    site: str
    backbone: str
    fingerprint: str
    slots: tuple[SlotMigration, ...]

    @property
    def ready(self) -> dict[Slot, int]:
        """Return the versions that a switch would make champions."""
        return {Slot.parse(one.slot): one.version for one in self.slots if one.state == "ready" and one.version}

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the slots that keep the site from being switched."""
        return tuple(one.slot for one in self.slots if one.state not in ("ready", "switched"))


def migrate_site(
    workspace: Workspace, backbone: str, site: str, *, reason: str = "", log: Log = print, keys: Path | None = None
) -> SiteMigration:
    """State the migration, then train and judge each slot of a site whose champion is on another backbone.

    A challenger gets the dataset version and the configuration of the champion, and a fresh start. Both are judged on
    the golden set that is pinned now, each on its own backbone. A slot that fails is reported; the next one follows.

    Raises UsageError for a site without champions, GateRefused if the caller may not promote, BackboneError if there is
    no such backbone, ServiceError if MLflow is gone.
    """
    from elp_core.backbones import Backbone

    uri = mlflow_uri(workspace)
    obstacles = {one.slot: one.obstacles for one in plan_migration(workspace, backbone, [site]).slots}
    fingerprint = Backbone.from_pretrained(backbone).fingerprint
    champions = site_champions(uri, site)
    if all(one.fingerprint == fingerprint for one in champions):
        return migration_state(workspace, backbone, site, fingerprint)
    state_site_migration(uri, site, backbone, fingerprint, reason)
    failed: dict[str, str] = {}
    for champion in champions:
        name = str(champion.slot)
        if champion.fingerprint == fingerprint:
            continue
        if obstacles.get(name):
            failed[name] = "; ".join(obstacles[name])
            continue
        try:
            _train_and_judge(workspace, backbone, champion, keys, log)
        except ServiceError:
            raise
        except ElpError as error:
            failed[name] = str(error)
            log(f"{name}: {error}")
    found = migration_state(workspace, backbone, site, fingerprint)
    slots = [replace(one, detail=failed.get(one.slot, one.detail)) for one in found.slots]
    return replace(found, slots=tuple(slots))


def migration_state(workspace: Workspace, backbone: str, site: str, fingerprint: str = "") -> SiteMigration:
    """Return how far a site is; nothing is loaded and nothing is changed.

    Without a `fingerprint`, the backbone is the one that was stated under this name last. Raises RegistryError if none
    was.
    """
    uri = mlflow_uri(workspace)
    client = connect(uri)
    fingerprint = fingerprint or stated_fingerprint(uri, backbone, site)
    slots = tuple(_state_of(client, champion, fingerprint) for champion in site_champions(uri, site))
    return SiteMigration(site, backbone, fingerprint, slots)


def stated_fingerprint(uri: str, backbone: str, site: str) -> str:
    """Return the fingerprint of the newest statement that a site changes to a backbone of this name."""
    for entry in stated_migrations(uri, site):
        if backbone in (entry.detail.get("backbone"), entry.detail.get("to")):
            return str(entry.detail["to"])
    raise RegistryError(
        f"nothing states that {site} changes to {backbone}; begin: elp backbone migrate {backbone} {site}"
    )


def site_champions(uri: str, site: str) -> list[AdapterVersion]:
    """Return the champions of a site by slot."""
    client = connect(uri)
    slots = [slot for slot, version in model_registry.list_champions(client).items() if version and slot.site == site]
    found = (model_registry.find_champion(client, slot) for slot in sorted(slots, key=str))
    return [one for one in found if one is not None]


def migrated_settings(settings: Settings, slot: Slot, backbone: str, config: Mapping[str, Any]) -> Settings:
    """Return the settings with a champion's configuration and another backbone for its slot.

    `config` is that of the champion's lineage. What it does not name (data, gate, compute …) is as it is set now.
    """
    own = dict(settings.slots.get(str(slot), {}))
    own |= {name: config[name] for name in ("adapter", "train", "task") if config.get(name)}
    # no adapter on another backbone can be started from
    own["train"] = {**own.get("train", {}), "init": "fresh"}
    return replace(settings, slots={**settings.slots, str(slot): {**own, "backbone": backbone}})


def _train_and_judge(
    workspace: Workspace, backbone: str, champion: AdapterVersion, keys: Path | None, log: Log
) -> None:
    from elp_core.bundle import verify_bundle
    from pipelines.gating.gate import gate_version
    from pipelines.training.train import train_adapters

    slot, uri, cache = champion.slot, mlflow_uri(workspace), workspace.cache
    folder = download_bundle(connect(uri), champion, cache)
    lineage = Lineage.from_json(verify_bundle(folder).lineage)
    settings = migrated_settings(workspace.settings, slot, backbone, lineage.config)
    where: dict[str, Any] = {"mlflow_uri": uri, "cache": cache, "keys": keys, "log": log}
    repository = str(workspace.root)
    made = train_adapters(repository, {slot: lineage.dataset.tag}, settings, **where, address=workspace.address)[slot]
    # under the present policy of the slot, and the challenger's backbone
    gate_version(repository, slot, workspace.settings, made.version, backbone=backbone, **where)


def _state_of(client: MlflowClient, champion: AdapterVersion, fingerprint: str) -> SlotMigration:
    name = str(champion.slot)
    if champion.fingerprint == fingerprint:
        return SlotMigration(name, champion.version, champion.version, "switched")
    versions = model_registry.list_versions(client, champion.slot)
    version = next((one for one in versions if one.fingerprint == fingerprint), None)
    if version is None:
        return SlotMigration(name, champion.version, None, "not trained")
    made, record = SlotMigration(name, champion.version, version.version, "not judged"), version.gate_record
    if record is None:
        return made
    if (record.champion, record.champion_bundle) != (champion.version, champion.bundle_digest):
        return replace(made, state="outdated", detail="it was judged against another champion: migrate again")
    if record.verdict != "passed":
        return replace(
            made, state="not passed", detail=f"the verdict is {record.verdict}: elp audit {name} {made.version}"
        )
    return replace(made, state="ready")
