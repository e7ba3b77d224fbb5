"""Where the tensors of a training start: the champion, the nearest champion of the task, the mean of all, or a version.

An adapter can be a parent if it is of the same configuration, backbone and language, and if `parent_data` finds nothing
against it. A named version that cannot be a parent is an error; for the other starts the training then starts fresh,
and its lineage says why.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.config import TrainConfig
from pipelines.errors import NotAParent
from pipelines.registry.client import model_registry
from pipelines.registry.lineage import LearnedFrom, StartCandidate, TrainingStart
from pipelines.registry.registered_adapter import RegisteredAdapter
from pipelines.training.parent_data import is_clean
from pipelines.training.start_candidates import (
    StartRequest,
    mean_candidates,
    open_candidate,
    open_candidates,
    task_champions,
)

if TYPE_CHECKING:
    from elp_core.backbones import Backbone
    from elp_core.model import ElpModel


@dataclass(frozen=True)
class StartParent:
    """An adapter that a training starts from."""

    learned: LearnedFrom
    bundle: Path
    """Folder of its bundle, verified."""


@dataclass(frozen=True)
class StartingPoint:
    """Where the tensors of a training start. Without parents that is fresh."""

    record: TrainingStart = field(default_factory=TrainingStart)
    parents: tuple[StartParent, ...] = ()
    elsewhere: bool = False
    """A parent is of another slot: what it learned of its own site takes as long to change as a fresh start takes."""

    @property
    def keyed(self) -> dict[str, Any]:
        """Return what the training key says of the start; nothing for a fresh one, whose key stays as it was."""
        named = [[one.learned.bundle, one.learned.role, one.learned.weight] for one in self.parents]
        return {"start": {"parents": named, "head": not self.record.head}} if named else {}

    @property
    def text(self) -> str:
        """Return the end of a sentence about the start; empty if it is fresh, as the settings say."""
        record, names = self.record, ", ".join(one.learned.name for one in self.parents)
        if not self.parents:
            return f", starting fresh, not from {record.init}: {record.why}" if record.why else ""
        head = f", with a new head: {record.head}" if record.head else ""
        mean = "the mean of " if len(self.parents) > 1 else ""
        return f", starting from {mean}{names} (train.init: {record.init}){head}"

    def rates(self, config: TrainConfig) -> TrainConfig:
        """Return the configuration with the epochs and learning rates of a start from parents."""
        if not self.parents:
            return config
        warm, head = config.warm, 1.0 if self.record.head else config.warm.rate
        return replace(
            config,
            epochs=config.epochs if self.elsewhere else min(config.epochs, warm.epochs),
            lr_head=config.lr_head * head,
            lr_layer=config.lr_layer * warm.rate,
            lr_encoder=config.lr_encoder * warm.rate,
        )

    def apply(self, model: ElpModel, backbone: Backbone) -> None:
        """Start the tensors of an untrained model from the parents; a fresh start changes nothing."""
        from elp_core.bundle import load_bundle
        from elp_core.training import start_from

        if self.parents:
            loaded = [(load_bundle(one.bundle, backbone), one.learned.weight) for one in self.parents]
            start_from(model, loaded, head=not self.record.head)


def find_start(request: StartRequest, inputs: str) -> StartingPoint:
    """Return where the tensors start, as the settings ask for it; `inputs` is the key of the same fresh training.

    Raise NotAParent if the settings name a version that cannot be a parent, RegistryError if there is no such version
    or a bundle is not the registered one, ServiceError if MLflow is gone.
    """
    init = request.train.init
    asked = TrainingStart(init=init, inputs=inputs)
    if init == "fresh":
        return StartingPoint()
    if init not in ("champion", "nearest", "average"):
        return _from_version(request, asked)
    if init == "champion":
        found = [model_registry.find_champion(request.client, request.slot)]
        champions = [one for one in found if one]
        nothing = f"{request.slot} has no champion yet"
    else:
        champions = task_champions(request)
        nothing = f"no slot of {request.slot.task} has a champion yet"
    opened, refused = open_candidates(request, champions)
    if init == "nearest":
        from pipelines.training.nearest import answered_best

        opened, compared = answered_best(request, opened)
        refused += compared
    if init == "average":
        opened, unlike = mean_candidates(request, opened)
        refused += unlike
    if not opened:
        why = "; ".join(f"{one.slot} v{one.version}: {one.why}" for one in refused if one.why) or nothing
        return StartingPoint(replace(asked, why=why, candidates=_listed(init, refused)))
    deep = max(one.generation for one in opened)
    if deep > request.train.warm.generations:
        why = f"after {request.train.warm.generations} trainings that started from one another, the next starts fresh"
        return StartingPoint(replace(asked, why=why))
    role, share = ("average", 1 / len(opened)) if len(opened) > 1 else ("init", 1.0)
    head = next((one.head for one in opened if one.head), "")
    record = replace(asked, generation=deep, head=head, candidates=_listed(init, refused))
    parents = tuple(StartParent(one.learned(role, share), one.bundle) for one in opened)
    return StartingPoint(record, parents, any(one.learned.slot != str(request.slot) for one in parents))


def made_before(request: StartRequest, inputs: Collection[str]) -> list[RegisteredAdapter]:
    """Return the slot's adapters that were trained from the same inputs, wherever they started; the champion first.

    So a night without a delivery trains nothing, although the champion is another one by now. A version whose parents
    must not be learned from any more does not count: its successor is trained. A start from a named version asks for
    that training alone.
    """
    if request.train.init.startswith("v"):
        return []
    slot = str(request.slot)
    made = (one for one in request.known.values() if one.slot == slot and one.inputs in inputs)
    clean = (one for one in made if is_clean(request.place, one, request.known))
    champion = model_registry.find_champion(request.client, request.slot)
    return sorted(clean, key=lambda one: (champion is None or one.version != champion.version, -one.version))


def _from_version(request: StartRequest, asked: TrainingStart) -> StartingPoint:
    version = model_registry.get(request.client, request.slot, asked.init.removeprefix("v"))
    found = open_candidate(request, version)
    if isinstance(found, str):
        raise NotAParent(
            f"train.init is {asked.init}, and {version.name} cannot be started from: {found}; name another version, or "
            "set train.init: fresh"
        )
    return StartingPoint(
        replace(asked, generation=found.generation, head=found.head), (StartParent(found.learned(), found.bundle),)
    )


def _listed(init: str, candidates: Sequence[StartCandidate]) -> tuple[StartCandidate, ...]:
    """Return the candidates as a lineage lists them; a start from the champion has only one."""
    return () if init == "champion" else tuple(sorted(candidates, key=lambda one: (one.slot, one.version)))
