"""The inputs of one slot's training: data, settings, backbone, and the key that they determine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.config import to_dict
from pipelines.datasets.readiness import SplitContent, remedy, training_needs
from pipelines.datasets.slot_language import require_same_language
from pipelines.errors import NotTrainable
from pipelines.local.settings import Settings, SlotSettings
from pipelines.number_text import count
from pipelines.registry.client import model_registry
from pipelines.registry.lineage import TrainedLanguage, ids_digest
from pipelines.registry.slot import Slot
from pipelines.training.provenance import RELEASED_CODE, task_digest, training_key
from pipelines.training.spoken import GrownFrom, find_grown_from, keyed_language, task_options, trained_language

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from elp_core.backbones import Backbone
    from elp_core.model import ElpModel
    from pipelines.datasets.versions import TrainingData


@dataclass(frozen=True)
class TrainingInputs:
    """Everything that decides the training of one slot."""

    slot: Slot
    repository: str
    """Path or URL of the workspace's Git repository, as the lineage names it."""
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
    options: Any
    """Options of the task, with the language and the units of the dataset version."""
    language: TrainedLanguage
    grown: GrownFrom | None = None
    """The champion whose head the new one starts from."""

    def new_model(self) -> ElpModel:
        """Return the untrained model; a head whose units grew has the champion's rows."""
        from elp_core.assemble import build
        from elp_core.bundle import load_bundle
        from elp_core.tasks import SpeechRecognition, decide_by, make_task
        from elp_core.tasks.grown_head import start_head_from

        task = make_task(self.slot.task, self.data.train, self.options)
        if isinstance(task, SpeechRecognition):
            # that of the transcripts; the packages of this machine may have changed since
            task = replace(task, normaliser=self.language.normaliser)
            task = decide_by(task, self.settings.gate.metric or None)
        model = build(self.backbone, self.settings.adapter, task, self.settings.train.seed)
        if self.grown:
            start_head_from(model, load_bundle(self.grown.bundle, self.backbone))
        return model

    def __str__(self) -> str:
        minutes = sum(clip.duration for clip in self.data.train) / 60
        return (
            f"{self.slot} on {count(len(self.data.train), 'clip')} ({minutes:.1f} minutes) of {self.data.dataset.tag}"
        )


def gather_inputs(
    client: MlflowClient,
    repository: str,
    tags: Mapping[Slot, str],
    settings: Settings,
    cache: Path,
    address: str = "",
) -> list[TrainingInputs]:
    """Read the dataset version of each slot once, and load the backbone that all share.

    `address` names the repository for other machines, if `repository` is the folder of a clone.

    Raise VersioningError if a version cannot be fetched, NotTrainable if its splits lack what training or validation
    needs, UsageError if its transcripts are in another language than the settings declare, ServiceError if MLflow is
    gone, which names the champion of a slot whose units grew.
    """
    from elp_core.backbones import Backbone
    from pipelines.datasets.versions import load_training_data

    read = {slot: load_training_data(repository, tag, slot, cache) for slot, tag in tags.items()}
    for slot, data in read.items():
        _require_trainable(slot, data, by_clip=settings.for_slot(slot).data.split_by == "clip")
        require_same_language(data.dataset, settings.for_slot(slot).language, normaliser=False)
    backbone = Backbone.from_pretrained(settings.backbone)
    found = (
        _inputs(client, repository, slot, data, settings.for_slot(slot), backbone, cache) for slot, data in read.items()
    )
    return [replace(inputs, repository=address or repository) for inputs in found]


def _require_trainable(slot: Slot, data: TrainingData, *, by_clip: bool) -> None:
    """Refuse before the backbone is loaded what the training would refuse at its first validation."""
    faults = training_needs(slot, SplitContent.of(data.train), SplitContent.of(data.validation))
    if faults:
        dataset = data.dataset
        nameless = 0 if dataset.speakers else dataset.clips
        raise NotTrainable(dataset.tag, [*faults, remedy(slot, dataset.speakers, nameless, by_clip=by_clip)])


def _inputs(
    client: MlflowClient,
    repository: str,
    slot: Slot,
    data: TrainingData,
    settings: SlotSettings,
    backbone: Backbone,
    cache: Path,
) -> TrainingInputs:
    from elp_core.training.recipe import RECIPE_VERSION

    options = task_options(settings, data.dataset)
    grown = find_grown_from(client, repository, slot, data, options, backbone, cache)
    language = trained_language(data.dataset, grown)

    ids = ids_digest(clip.id for clip in (*data.train, *data.validation))
    config: dict[str, Any] = {name: to_dict(getattr(settings, name)) for name in ("adapter", "train", "task")}
    if settings.gate.metric not in ("", settings.language.resolve().metric):
        # it chooses the best epoch
        config["metric"] = settings.gate.metric
    # a task from elsewhere has no recipe version: its code is part of the key
    keyed = {"slot": str(slot), **config, "task_code": task_digest(slot.task_spec)}

    def key(spoken: TrainedLanguage, **code: Any) -> str:
        named = {**keyed, **keyed_language(spoken, options)}
        return training_key(data.dataset.dvc_hash, named, backbone.fingerprint, settings.train.seed, ids, **code)

    if language.units:
        # the same training from another champion's rows, or from none, is not done again
        versions = {version.key: version.bundle_digest for version in model_registry.list_versions(client, slot)}
        starts = (key(replace(language, parent=one), recipe=RECIPE_VERSION) for one in ("", *versions.values()))
        former = tuple(one for one in starts if one in versions)
    else:
        former = tuple(key(language, code=digest) for digest in RELEASED_CODE.get(RECIPE_VERSION, ()))
    return TrainingInputs(
        slot=slot,
        repository=repository,
        data=data,
        settings=settings,
        backbone=backbone,
        ids=ids,
        key=key(language, recipe=RECIPE_VERSION),
        former_keys=former,
        config=config,
        options=options,
        language=language,
        grown=grown,
    )
