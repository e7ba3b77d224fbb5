"""The inputs of one slot's training: data, settings, backbone, and the key that they determine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.config import to_dict
from pipelines.errors import DataRefused
from pipelines.local.settings import Settings, SlotSettings
from pipelines.registry.lineage import ids_digest
from pipelines.registry.slot import Slot
from pipelines.training.provenance import RELEASED_CODE, task_digest, training_key

if TYPE_CHECKING:
    from elp_core.backbones import Backbone
    from elp_core.model import ElpModel
    from pipelines.datasets.versions import TrainingData


@dataclass(frozen=True)
class TrainingInputs:
    """Everything that decides the training of one slot."""

    slot: Slot
    repository: str
    """Path or URL of the workspace's Git repository."""
    data: TrainingData
    settings: SlotSettings
    backbone: Backbone
    ids: str
    """`ids_digest` of the clips of training and validation."""
    key: str
    """Training key."""
    former_keys: tuple[str, ...]
    """Keys that earlier releases gave the same training."""
    config: Mapping[str, Any]
    """The settings that shape the adapter, as plain values."""

    def new_model(self) -> ElpModel:
        """Return the untrained model."""
        from elp_core.assemble import build
        from elp_core.tasks import make_task

        task = make_task(self.slot.task, self.data.train, self.settings.task)
        return build(self.backbone, self.settings.adapter, task, self.settings.train.seed)

    def __str__(self) -> str:
        minutes = sum(clip.duration for clip in self.data.train) / 60
        return f"{self.slot} on {len(self.data.train)} clips ({minutes:.1f} minutes) of {self.data.dataset.tag}"


def gather_inputs(repository: str, tags: Mapping[Slot, str], settings: Settings, cache: Path) -> list[TrainingInputs]:
    """Read the dataset version of each slot once, and load the backbone that all share.

    Raise VersioningError if a version cannot be fetched, DataRefused if it has no clips to train on or to validate
    with.
    """
    from elp_core.backbones import Backbone
    from pipelines.datasets.versions import load_training_data

    read = {slot: load_training_data(repository, tag, slot, cache) for slot, tag in tags.items()}
    for slot, data in read.items():
        if not data.train or not data.validation:
            empty, tag = "training" if not data.train else "validation", tags[slot]
            fault = f"{tag} has no clips in its {empty} split; add data: elp data add {slot} SOURCE"
            raise DataRefused(str(slot), [fault])
    backbone = Backbone.from_pretrained(settings.backbone)
    return [_inputs(repository, slot, data, settings.for_slot(slot), backbone) for slot, data in read.items()]


def _inputs(
    repository: str, slot: Slot, data: TrainingData, settings: SlotSettings, backbone: Backbone
) -> TrainingInputs:
    from elp_core.training.recipe import RECIPE_VERSION

    ids = ids_digest(clip.id for clip in (*data.train, *data.validation))
    config = {name: to_dict(getattr(settings, name)) for name in ("adapter", "train", "task")}
    # a task from elsewhere has no recipe version: its code is part of the key
    keyed = {"slot": str(slot), **config, "task_code": task_digest(slot.task_spec)}
    given = (data.dataset.dvc_hash, keyed, backbone.fingerprint, settings.train.seed, ids)
    former = tuple(training_key(*given, code=digest) for digest in RELEASED_CODE.get(RECIPE_VERSION, ()))
    key = training_key(*given, recipe=RECIPE_VERSION)
    return TrainingInputs(slot, repository, data, settings, backbone, ids, key, former, config)
