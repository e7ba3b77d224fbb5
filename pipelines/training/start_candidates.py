"""The adapters that a training may start from: champions and named versions, each with what is against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.config import ElpConfig, TrainConfig, to_dict
from elp_core.errors import BundleError, ConfigError, first_faults
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.ancestry import generation
from pipelines.registry.client import model_registry
from pipelines.registry.client.bundle_models import download_bundle
from pipelines.registry.lineage import LearnedFrom, Lineage, StartCandidate, TrainedLanguage
from pipelines.registry.registered_adapter import RegisteredAdapter
from pipelines.registry.slot import Slot
from pipelines.training.parent_data import LearningData, parent_obstacle

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from elp_core.backbones import Backbone
    from elp_core.tasks import Task
    from elp_core.types import Clip


@dataclass(frozen=True)
class StartRequest:
    """What a start is chosen for."""

    client: MlflowClient
    place: LearningData
    known: Mapping[str, RegisteredAdapter]
    """Every registered adapter by the digest of its bundle."""
    train: TrainConfig
    adapter: ElpConfig
    backbone: Backbone
    task: Task
    """The new, untrained one."""
    language: TrainedLanguage
    validation: Sequence[Clip]

    @property
    def slot(self) -> Slot:
        """The slot that is trained."""
        return self.place.slot


@dataclass(frozen=True)
class OpenedCandidate:
    """A candidate whose bundle was read."""

    version: AdapterVersion
    bundle: Path
    head: str
    """Why its head cannot be taken over; empty if it can."""
    generation: int
    seed: int

    def learned(self, role: str = "init", weight: float = 1.0) -> LearnedFrom:
        """Return how a child names it."""
        return LearnedFrom(self.version.bundle_digest, str(self.version.slot), self.version.version, role, weight)

    def candidate(self, value: float | None = None, why: str = "") -> StartCandidate:
        """Return it as a lineage lists it."""
        return _candidate(self.version, value, why)


def task_champions(request: StartRequest) -> list[AdapterVersion]:
    """Return the champions of every slot of the task, by slot."""
    named = model_registry.list_champions(request.client)
    wanted = [(slot, version) for slot, version in named.items() if version and slot.task == request.slot.task]
    found = (model_registry.find(request.client, slot, version) for slot, version in sorted(wanted, key=str))
    return [one for one in found if one]


def open_candidates(
    request: StartRequest, versions: Sequence[AdapterVersion]
) -> tuple[list[OpenedCandidate], list[StartCandidate]]:
    """Return the versions that can be parents, and the others with the reason."""
    opened, refused = list[OpenedCandidate](), list[StartCandidate]()
    for version in versions:
        found = open_candidate(request, version)
        if isinstance(found, str):
            refused.append(_candidate(version, None, found))
        else:
            opened.append(found)
    return opened, refused


def open_candidate(request: StartRequest, version: AdapterVersion) -> OpenedCandidate | str:
    """Return a version as a parent, or why it cannot be one."""
    from elp_core.bundle import verify_bundle
    from elp_core.tasks import task_from_json
    from elp_core.training import head_obstacle

    if version.fingerprint != request.backbone.fingerprint:
        return f"its backbone is {version.fingerprint[:19]}…, here {request.backbone.fingerprint[:19]}…"
    record = request.known.get(version.bundle_digest)
    if record is None:
        return "its lineage statement is not on the server, so its training data is unknown"
    # a record without a lineage names no dataset, either: its obstacle is another one
    if record.dataset and not record.inputs:
        return "the server reports no parents of adapters: update it to this release first"
    if why := parent_obstacle(request.place, record, request.known):
        return why
    bundle = download_bundle(request.client, version, request.place.cache)
    try:
        manifest = verify_bundle(bundle)
        lineage, task = Lineage.from_json(manifest.lineage), task_from_json(manifest.task)
    except (BundleError, ConfigError, ValueError) as error:
        return f"this release cannot read it: {error}"
    if manifest.adapter != request.adapter:
        own = to_dict(request.adapter)
        # another method than ELP has no values in common with these settings
        given = to_dict(manifest.adapter) if isinstance(manifest.adapter, ElpConfig) else {}
        return f"its adapter configuration differs: {first_faults(_differences(own, given)) or 'another method'}"
    ours, theirs = request.language, lineage.language
    if (ours.code, ours.normaliser, ours.kind) != (theirs.code, theirs.normaliser, theirs.kind):
        return "its language, normaliser or kind of units differs"
    learned = LearnedFrom(version.bundle_digest, str(version.slot), version.version, "init")
    deep = generation(str(request.slot), [learned], request.known)
    return OpenedCandidate(version, bundle, head_obstacle(request.task, task), deep, lineage.seed)


def mean_candidates(
    request: StartRequest, opened: Sequence[OpenedCandidate]
) -> tuple[list[OpenedCandidate], list[StartCandidate]]:
    """Return the candidates that a mean is made of: those with one seed, so one initialisation."""
    from elp_core.bundle import verify_bundle
    from elp_core.tasks import task_from_json
    from elp_core.training import head_obstacle

    seed = request.train.seed
    used = [one for one in opened if one.seed == seed]
    left = [one.candidate(why=f"its seed is {one.seed}, here {seed}") for one in opened if one.seed != seed]
    if len(used) > 1:
        tasks = [task_from_json(verify_bundle(one.bundle).task) for one in used]
        heads = [head_obstacle(request.task, task, alone=False) for task in tasks]
        used = [replace(one, head=head) for one, head in zip(used, heads, strict=True)]
    return used, left


def _differences(own: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name in sorted({*own, *given}):
        ours, theirs = own.get(name), given.get(name)
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            found += _differences(ours, theirs, f"{prefix}{name}.")
        elif ours != theirs:
            found.append(f"{prefix}{name} is {theirs!r}, here {ours!r}")
    return found if given else []


def _candidate(version: AdapterVersion, value: float | None, why: str) -> StartCandidate:
    return StartCandidate(str(version.slot), version.version, version.bundle_digest, value, why)
