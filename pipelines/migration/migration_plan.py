"""What a change of the backbone means: who depends, what trainings cost as measured, and what cannot be trained."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from elp_core.checkpoint_folders import local_folder
from pipelines.errors import UsageError
from pipelines.local import git
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.registry.backbone_facts import BackboneFacts, ChampionOnBackbone
from pipelines.registry.backbone_licence import licence_warning
from pipelines.registry.client.backbones import backbone_facts
from pipelines.registry.client.server_api import read_holds
from pipelines.registry.holds import Hold
from pipelines.registry.known_backbones import published_origin
from pipelines.registry.lineage import BackboneName
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class PlannedSlot:
    """A slot whose champion is on another backbone, and what its training on the new one needs."""

    slot: str
    version: int
    """The champion."""
    backbone: str
    fingerprint: str
    dataset: str
    measured: float
    """Seconds that the champion's training took, with the other slots of its pass; 0 if that was not measured."""
    seconds: float | None
    """Estimate for the new backbone: by the rate of other trainings of the task on it; None if there is none."""
    bytes: int
    """Of the champion's bundle: the new one is about as large, and the former stays for the way back."""
    voices: int
    """Enrolled voices that need a template of the new version before anybody is compared with them."""
    obstacles: tuple[str, ...]
    """Why the slot cannot be trained on the new backbone now; empty if it can."""
    notes: tuple[str, ...]
    """What a person should know besides."""


@dataclass(frozen=True)
class MigrationPlan:
    """What `elp backbone plan` answers."""

    backbone: str
    fingerprints: tuple[str, ...]
    """Of versions that were trained on the new backbone under this name; empty if there is none yet."""
    versions: int
    """Adapter versions in the registry."""
    slots: tuple[PlannedSlot, ...]
    done: tuple[str, ...]
    """Slots whose champion is on the new backbone already."""
    boxes: Mapping[str, tuple[str, ...]]
    """Enrolled boxes of the sites by site: each needs the new weights before its next pull."""
    warnings: tuple[str, ...] = ()
    """Of the new backbone itself: its licence, or a name that nothing here knows."""

    @property
    def seconds(self) -> float:
        """Return the estimated seconds of all trainings whose estimate is known."""
        return sum(one.seconds or 0.0 for one in self.slots if not one.obstacles)

    @property
    def unknown(self) -> int:
        """Return how many trainings have no estimate."""
        return sum(one.seconds is None for one in self.slots if not one.obstacles)


def plan_migration(workspace: Workspace, backbone: str, sites: Collection[str] = ()) -> MigrationPlan:
    """Return the plan for the champions of some sites, or of all; nothing is loaded and nothing is changed.

    Raises UsageError for a site without a champion, ServiceError if the server does not answer.
    """
    uri, backbone = mlflow_uri(workspace), workspace.backbone_name(backbone)
    facts = backbone_facts(uri, backbone, sites)
    known = {one.site for one in facts.champions}
    if unknown := sorted(set(sites) - known):
        raise UsageError(f"the site {unknown[0]!r} has no champion, so nothing of it migrates; elp versions list")
    place = _KeptData.of(workspace)
    holds = read_holds(uri)
    done = [one for one in facts.champions if is_on(one, backbone, facts.fingerprints)]
    others = [one for one in facts.champions if one not in done]
    return MigrationPlan(
        backbone=backbone,
        fingerprints=facts.fingerprints,
        versions=facts.versions,
        slots=tuple(_planned(one, facts, place, holds) for one in others),
        done=tuple(one.slot for one in done),
        boxes={site: boxes for site, boxes in sorted(facts.boxes.items()) if site in {one.site for one in others}},
        warnings=tuple(plan_warnings(workspace, backbone, facts.fingerprints)),
    )


def plan_warnings(workspace: Workspace, name: str, fingerprints: Sequence[str]) -> Iterator[str]:
    """Yield what a person should know of the new backbone before anything is trained on it."""
    policy = workspace.settings.backbones
    recorded = [fingerprint for fingerprint, record in policy.records.items() if name in (record.id, fingerprint)]
    if not (recorded or fingerprints or published_origin(name) or local_folder(name)):
        yield f"{name} is unknown here: no folder, no record, no version on it; check the spelling"
    for fingerprint in dict.fromkeys([*recorded, *fingerprints]) or [""]:
        if warning := licence_warning(BackboneName(name, fingerprint), policy):
            yield warning.removeprefix("warning: ")


def is_on(champion: ChampionOnBackbone, backbone: str, fingerprints: Sequence[str]) -> bool:
    """Return whether a champion is on a backbone that is named, or given by its fingerprint."""
    return backbone in (champion.backbone, champion.fingerprint) or champion.fingerprint in fingerprints


def _planned(
    champion: ChampionOnBackbone, facts: BackboneFacts, place: _KeptData, holds: Sequence[Hold]
) -> PlannedSlot:
    rate, training = facts.rates.get(champion.task), champion.training
    heard = training.audio * training.epochs
    return PlannedSlot(
        slot=champion.slot,
        version=champion.version,
        backbone=champion.backbone,
        fingerprint=champion.fingerprint,
        dataset=champion.dataset,
        measured=training.seconds,
        seconds=rate * heard if rate and heard else None,
        bytes=champion.bytes,
        voices=champion.voices,
        obstacles=tuple(place.faults(champion, facts.deleted)),
        notes=tuple(_notes(champion, holds)),
    )


def _notes(champion: ChampionOnBackbone, holds: Sequence[Hold]) -> list[str]:
    found = []
    if champion.training.beside:
        found.append(
            f"its training shared a pass with {champion.training.beside} other slots; the seconds are the pass's"
        )
    if champion.teachers:
        found.append(f"its data has labels by {', '.join(champion.teachers)}: the new version learns from them again")
    about = {champion.slot, f"{champion.slot}@v{champion.version}", champion.dataset}
    for hold in holds:
        if hold.subject in about:
            found.append(f"hold {hold.number} keeps {hold.subject} until {hold.until[:10]}, also after the switch")
    return found


@dataclass(frozen=True)
class _KeptData:
    """Which data the workspace can read: its tags, and the listings of data folders on this machine."""

    tags: frozenset[str]
    stores: tuple[Path, ...]
    """Folders with DVC's objects on this machine: the cache, and the remote if it is a folder."""
    whole: bool
    """Whether what is in none of the stores is nowhere: the remote is one of them."""

    @classmethod
    def of(cls, workspace: Workspace) -> _KeptData:
        remote = workspace.settings.remote
        local = "://" not in remote
        cache = workspace.root / ".dvc" / "cache" / "files" / "md5"
        stores = (cache, *([workspace.root / remote / "files" / "md5"] if local else []))
        tags = (tag for kind in ("data", "golden") for tag in git.tags(workspace.root, kind) if Slot.of_tag(tag))
        return cls(frozenset(tags), stores, local)

    def faults(self, champion: ChampionOnBackbone, deleted: Mapping[str, int]) -> list[str]:
        """Return why the champion's dataset version cannot be read any more; empty if nothing says so."""
        if champion.dataset not in self.tags:
            return [f"the tag {champion.dataset or '(none)'} is not in this workspace: git fetch --tags"]
        slot = Slot.parse(champion.slot)
        if not any(tag.startswith(f"golden/{slot}/") for tag in self.tags):
            return [f"the slot has no golden set, so nothing can be judged: elp data golden {slot}"]
        md5 = champion.dvc_hash.rpartition(":")[2]
        if md5 in deleted:
            return [f"its data {champion.dataset} was deleted (ledger entry {deleted[md5]})"]
        listing = self._listing(md5)
        if listing is None:
            return [f"its data {champion.dataset} is neither here nor in the remote"] if self.whole else []
        gone = {deleted[one] for one in listing if one in deleted}
        return [f"files of {champion.dataset} were deleted (ledger entry {min(gone)})"] if gone else []

    def _listing(self, md5: str) -> list[str] | None:
        for store in self.stores:
            file = store / md5[:2] / md5[2:]
            if file.is_file():
                try:
                    return [str(one["md5"]) for one in json.loads(file.read_text(encoding="utf-8"))]
                except (ValueError, KeyError, TypeError):
                    return None
        return None
