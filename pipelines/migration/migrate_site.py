"""Train and judge every slot of sites on another backbone; a site is switched by another step.

There is no state of its own: what is done is in the registry (a version by its training key, a verdict by its subject)
and in the ledger, so a run that was killed at any moment is run again and continues. The trainings run in this process,
or wherever the caller's `work` has them run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from elp_core.errors import ElpError
from pipelines.datasets.versions import golden_ref
from pipelines.errors import GateRefused, RegistryError, ServiceError, VersioningError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from pipelines.migration.migration_plan import plan_migration
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.backbone_licence import licence_fault
from pipelines.registry.client import model_registry
from pipelines.registry.client.backbones import state_site_migration, stated_migrations
from pipelines.registry.client.bundle_models import download_bundle
from pipelines.registry.client.connection import connect
from pipelines.registry.lineage import BackboneName, Lineage
from pipelines.registry.policies import policy_digest
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from mlflow import MlflowClient

_READINGS = 5
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


@dataclass(frozen=True)
class SlotMove:
    """A slot that gets a version on another backbone, and is judged with it."""

    champion: AdapterVersion
    """Whose dataset version and configuration the new version gets."""
    backbone: str
    fingerprint: str

    @property
    def slot(self) -> Slot:
        """Return the slot."""
        return self.champion.slot


Work = Callable[[Sequence[SlotMove], Log], Mapping[str, str]]
"""Trains and judges slots; returns for each slot that failed, by its name, the reason."""


def migrate_sites(
    workspace: Workspace,
    backbone: str,
    sites: Collection[str],
    *,
    reason: str = "",
    despite_licence: bool = False,
    log: Log = print,
    keys: Path | None = None,
    work: Work | None = None,
) -> list[SiteMigration]:
    """State the migration of sites, then train and judge each slot whose champion is on another backbone.

    A challenger gets the dataset version and the configuration of the champion, and a fresh start. Both are judged on
    the golden set that is pinned now, each on its own backbone. A slot that fails is reported; the next one follows.
    `work` trains and judges elsewhere; None selects this process, one slot after another, signing with `keys`.

    Raises UsageError for a site without champions, GateRefused if the caller may not promote or, unless
    `despite_licence`, if no champion may be on the backbone, BackboneError if there is no such backbone, ServiceError
    if a server is gone.
    """
    from elp_core.backbones import Backbone

    uri, sites = mlflow_uri(workspace), tuple(dict.fromkeys(sites))
    backbone = workspace.backbone_name(backbone)
    failed = {one.slot: "; ".join(one.obstacles) for one in plan_migration(workspace, backbone, sites).slots}
    fingerprint = Backbone.from_pretrained(backbone).fingerprint
    if not despite_licence:
        _require_licence(workspace, BackboneName(backbone, fingerprint))
    moves: list[SlotMove] = []
    for site in sites:
        waiting = [one for one in site_champions(uri, site) if one.fingerprint != fingerprint]
        if waiting:
            state_site_migration(uri, site, backbone, fingerprint, reason)
        able = [SlotMove(one, backbone, fingerprint) for one in waiting if not failed.get(str(one.slot))]
        moves += [move for move in able if not _is_judged(workspace, move, log)]
    failed |= (work or _in_this_process(workspace, keys))(moves, log)
    found = [migration_state(workspace, backbone, site, fingerprint) for site in sites]
    return [
        replace(site, slots=tuple(replace(one, detail=failed.get(one.slot) or one.detail) for one in site.slots))
        for site in found
    ]


def migration_state(workspace: Workspace, backbone: str, site: str, fingerprint: str = "") -> SiteMigration:
    """Return how far a site is; nothing is loaded and nothing is changed.

    Without a `fingerprint`, the backbone is the one that was stated under this name last. Raises RegistryError if none
    was.
    """
    uri, backbone = mlflow_uri(workspace), workspace.backbone_name(backbone)
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
    """Return the champions of a site at one moment, by slot; raise RegistryError if they change again and again."""
    client = connect(uri)
    versions = _champion_numbers(client, site)
    for _ in range(_READINGS):
        found = [model_registry.get(client, slot, number) for slot, number in versions]
        # a switch between two of the requests would show half a site on each backbone
        if (after := _champion_numbers(client, site)) == versions:
            return found
        versions = after
    raise RegistryError(f"the champions of {site} changed during each of {_READINGS} readings; try again in a minute")


def _champion_numbers(client: MlflowClient, site: str) -> list[tuple[Slot, int]]:
    champions = model_registry.list_champions(client).items()
    found = ((slot, number) for slot, number in champions if number and slot.site == site)
    return sorted(found, key=lambda one: str(one[0]))


def migrated_settings(settings: Settings, slot: Slot, backbone: str, config: Mapping[str, Any]) -> Settings:
    """Return the settings with a champion's configuration and another backbone for its slot.

    `config` is that of the champion's lineage. What it does not name (data, gate, compute …) is as it is set now.
    """
    own = dict(settings.slots.get(str(slot), {}))
    own |= {name: config[name] for name in ("adapter", "train", "task") if config.get(name)}
    # no adapter on another backbone can be started from
    own["train"] = {**own.get("train", {}), "init": "fresh"}
    augment = own["train"].get("augment") or {}
    if augment.get("variants") == 1:
        # earlier releases accepted these without copies, where they did nothing
        own["train"]["augment"] = {**augment, "margin": 0.0, "conditions": 0.0}
    return replace(settings, slots={**settings.slots, str(slot): {**own, "backbone": backbone}})


def challenger_inputs(workspace: Workspace, champion: AdapterVersion, backbone: str) -> tuple[str, Settings]:
    """Return the dataset version and the settings of a champion's successor on another backbone."""
    from elp_core.bundle import verify_bundle

    folder = download_bundle(connect(mlflow_uri(workspace)), champion, workspace.cache)
    lineage = Lineage.from_json(verify_bundle(folder).lineage)
    return lineage.dataset.tag, migrated_settings(workspace.settings, champion.slot, backbone, lineage.config)


def _require_licence(workspace: Workspace, backbone: BackboneName) -> None:
    policy = workspace.settings.backbones
    if fault := licence_fault(backbone, policy.origin_of(backbone), policy):
        raise GateRefused(
            f"nothing is trained: {fault}, so no switch brings a champion onto it; choose another backbone, or if two "
            "people are to override it slot by slot, add --despite-licence"
        )


def _in_this_process(workspace: Workspace, keys: Path | None) -> Work:
    def work(moves: Sequence[SlotMove], log: Log) -> Mapping[str, str]:
        failed: dict[str, str] = {}
        for move in moves:
            try:
                _train_and_judge(workspace, move, keys, log)
            except ServiceError:
                raise
            except ElpError as error:
                failed[str(move.slot)] = str(error)
                log(f"{move.slot}: {error}")
        return failed

    return work


def _train_and_judge(workspace: Workspace, move: SlotMove, keys: Path | None, log: Log) -> None:
    from pipelines.gating.gate import gate_version
    from pipelines.training.train import train_adapters

    slot, repository = move.slot, str(workspace.root)
    tag, settings = challenger_inputs(workspace, move.champion, move.backbone)
    where: dict[str, Any] = {"mlflow_uri": mlflow_uri(workspace), "cache": workspace.cache, "keys": keys, "log": log}
    made = train_adapters(repository, {slot: tag}, settings, **where, address=workspace.address)[slot]
    # under the present policy of the slot, and the challenger's backbone
    gate_version(repository, slot, workspace.settings, made.version, backbone=move.backbone, **where)


def _is_judged(workspace: Workspace, move: SlotMove, log: Log) -> bool:
    """Return whether the newest version on the new backbone has a verdict that another judgement would repeat."""
    version = _newest_on(connect(mlflow_uri(workspace)), move.slot, move.fingerprint)
    record = version.gate_record if version else None
    if version is None or record is None:
        return False
    try:
        golden = golden_ref(workspace, "latest", move.slot)
    except VersioningError:
        # the gate says why
        return False
    present = (golden.digest, policy_digest(workspace.settings.for_slot(move.slot).gate))
    judged = (record.bundle, record.champion, record.champion_bundle)
    same = judged == (version.bundle_digest, move.champion.version, move.champion.bundle_digest)
    if not same or (record.golden_digest, record.policy) != present:
        return False
    log(f"{version.name} is judged already: {record.verdict}")
    return True


def _newest_on(client: MlflowClient, slot: Slot, fingerprint: str) -> AdapterVersion | None:
    versions = model_registry.list_versions(client, slot)
    return next((one for one in versions if one.fingerprint == fingerprint), None)


def _state_of(client: MlflowClient, champion: AdapterVersion, fingerprint: str) -> SlotMigration:
    name = str(champion.slot)
    if champion.fingerprint == fingerprint:
        return SlotMigration(name, champion.version, champion.version, "switched")
    version = _newest_on(client, champion.slot, fingerprint)
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
