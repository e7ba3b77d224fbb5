"""The inputs of one slot's training: data, settings, backbone, and the key that they determine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.config import WarmConfig, to_dict
from pipelines.datasets.readiness import SplitContent, remedy, training_needs
from pipelines.datasets.slot_language import require_same_language
from pipelines.errors import NotTrainable
from pipelines.local.settings import Settings, SlotSettings
from pipelines.number_text import count
from pipelines.registry.ancestry import by_bundle
from pipelines.registry.backbone_licence import BackbonePolicy, licence_warning
from pipelines.registry.client import model_registry, server_api
from pipelines.registry.lineage import BackboneName, LearnedFrom, TrainedLanguage, ids_digest
from pipelines.registry.registered_adapter import RegisteredAdapter
from pipelines.registry.slot import Slot
from pipelines.training.parent_data import LearningData, is_clean
from pipelines.training.provenance import RELEASED_CODE, task_digest, training_key
from pipelines.training.spoken import GrownFrom, find_grown_from, keyed_language, task_options, trained_language
from pipelines.training.start_candidates import StartRequest
from pipelines.training.starting_point import StartingPoint, find_start, made_before

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from elp_core.backbones import Backbone
    from elp_core.model import ElpModel
    from elp_core.tasks import Task
    from pipelines.datasets.dataset_version import DatasetVersion
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
    backbones: BackbonePolicy
    """The records of backbones, as the settings of this run have them."""
    ids: str
    """`ids_digest` of the clips of training and validation."""
    key: str
    """Training key."""
    known_keys: tuple[str, ...]
    """Keys by which the same training may be registered, `key` and those of earlier releases too; the first counts."""
    config: Mapping[str, Any]
    """The settings that shape the adapter, as plain values."""
    options: Any
    """Options of the task, with the language and the units of the dataset version."""
    language: TrainedLanguage
    grown: GrownFrom | None = None
    """The champion whose head the new one starts from."""
    start: StartingPoint = field(default_factory=StartingPoint)
    learned: tuple[LearnedFrom, ...] = ()
    """Adapters that it learns from: those that it starts from, and those that labelled clips."""

    @property
    def backbone_name(self) -> BackboneName:
        """Id and fingerprint of the backbone."""
        return BackboneName(self.backbone.id, self.backbone.fingerprint)

    @property
    def licence_note(self) -> str:
        """A warning that follows a sentence: no champion may be on the backbone, or it has no record; else empty."""
        warning = licence_warning(self.backbone_name, self.backbones)
        return f"; {warning}" if warning else ""

    def new_model(self) -> ElpModel:
        """Return the untrained model: a fresh one, or one that starts from others; a grown head has known rows."""
        from elp_core.assemble import build
        from elp_core.bundle import load_bundle
        from elp_core.tasks.grown_head import start_head_from

        task = _new_task(self.slot, self.data, self.options, self.language, self.settings)
        model = build(self.backbone, self.settings.adapter, task, self.settings.train.seed)
        self.start.apply(model, self.backbone)
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
    """Read the dataset version of each slot once, and load each backbone once.

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
    names = {slot: settings.backbone_of(slot) for slot in read}
    backbones = {name: Backbone.from_pretrained(name) for name in dict.fromkeys(names.values())}
    found = (
        _inputs(client, repository, slot, data, settings.for_slot(slot), backbones[names[slot]], cache)
        for slot, data in read.items()
    )
    return [replace(inputs, repository=address or repository, backbones=settings.backbones) for inputs in found]


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
    options, language = task_options(settings, data.dataset), trained_language(data.dataset)
    ids = ids_digest(clip.id for clip in (*data.train, *data.validation))
    keys = _Keys(slot, data.dataset.dvc_hash, settings, backbone.fingerprint, ids, options)
    known = _known_adapters(client, data.dataset, settings)
    made, start = list[RegisteredAdapter](), StartingPoint()
    former = _former_keys(client, keys, language, lambda: LearningData.of(repository, cache, slot, data))
    if settings.train.init != "fresh":
        place = LearningData.of(repository, cache, slot, data)
        task = _new_task(slot, data, options, language, settings)
        request = StartRequest(
            client, place, known, settings.train, settings.adapter, backbone, task, language, data.validation
        )
        made = made_before(request, {keys.of(language), *former})
        # a version that exists needs no start: it is not trained again
        if all(one.deleted for one in made):
            start = find_start(request, keys.of(language))
    grown = None if start.parents else find_grown_from(client, repository, slot, data, options, backbone, cache)
    if grown:
        language = trained_language(data.dataset, grown)
    key = keys.of(language, start)
    mine = [key, *(former if not start.parents else ())]
    # one that was made is taken in place of a training; one in the trash only if there is no other
    made_keys = [one.key for one in made]
    known_keys = [*made_keys, *mine] if any(not one.deleted for one in made) else [*mine, *made_keys]
    return TrainingInputs(
        slot=slot,
        repository=repository,
        data=data,
        settings=replace(settings, train=start.rates(settings.train)),
        backbone=backbone,
        backbones=BackbonePolicy(),
        ids=ids,
        key=key,
        known_keys=tuple(dict.fromkeys(known_keys)),
        config=_config(settings),
        options=options,
        language=language,
        grown=grown,
        start=start,
        learned=(*(one.learned for one in start.parents), *_teachers(data.dataset, known)),
    )


def _former_keys(
    client: MlflowClient, keys: _Keys, language: TrainedLanguage, place: Callable[[], LearningData]
) -> list[str]:
    """Return the keys that the same training has or had from another start of the head, or in earlier releases.

    Without those of versions whose rows came from what must not be learned from any more. `place` reads the clips.
    """
    if not language.units:
        return keys.released(language)
    # the same training from another champion's rows, or from none, is not done again
    versions = {version.key: version.bundle_digest for version in model_registry.list_versions(client, keys.slot)}
    new, *grown = (keys.of(replace(language, parent=one)) for one in ("", *versions.values()))
    return [one for one in (new,) if one in versions] + _clean(client, place, versions, grown)


def _clean(
    client: MlflowClient, place: Callable[[], LearningData], versions: Mapping[str, str], keys: Iterable[str]
) -> list[str]:
    """Return those keys whose version, here by its bundle, learned from nothing that was dropped or corrected."""
    made = [key for key in keys if key in versions]
    if not made:
        return []
    known, data = by_bundle(server_api.registered_records(client.tracking_uri)), place()
    records = ((key, known.get(versions[key])) for key in made)
    # what a version without a record learned from is unknown
    return [key for key, record in records if record and record.learned and is_clean(data, record, known)]


@dataclass(frozen=True)
class _Keys:
    """What the training keys of a slot's inputs have in common."""

    slot: Slot
    dvc_hash: str
    settings: SlotSettings
    fingerprint: str
    ids: str
    options: Any

    def of(self, language: TrainedLanguage, start: StartingPoint | None = None, **code: Any) -> str:
        """Return the key of a training with this start; None is a fresh one."""
        from elp_core.training.recipe import RECIPE_VERSION

        start = start or StartingPoint()
        settings = self.settings
        # where it was to start is no input; where it starts is
        train = replace(start.rates(settings.train), init="fresh", warm=WarmConfig())
        # a task from elsewhere has no recipe version: its code is part of the key
        own = {"slot": str(self.slot), "task_code": task_digest(self.slot.task_spec)}
        config = _config(replace(settings, train=train))
        named = {**own, **config, **keyed_language(language, self.options), **start.keyed}
        code = code or {"recipe": RECIPE_VERSION}
        return training_key(self.dvc_hash, named, self.fingerprint, settings.train.seed, self.ids, **code)

    def released(self, language: TrainedLanguage) -> list[str]:
        """Return the keys that releases without a recipe version gave the fresh training; English letters only."""
        from elp_core.training.recipe import RECIPE_VERSION

        if language.units:
            return []
        return [self.of(language, code=digest) for digest in RELEASED_CODE.get(RECIPE_VERSION, ())]


def _config(settings: SlotSettings) -> dict[str, Any]:
    config: dict[str, Any] = {name: to_dict(getattr(settings, name)) for name in ("adapter", "train", "task")}
    if settings.gate.metric not in ("", settings.language.resolve().metric):
        # it chooses the best epoch
        config["metric"] = settings.gate.metric
    return config


def _new_task(slot: Slot, data: TrainingData, options: Any, language: TrainedLanguage, settings: SlotSettings) -> Task:
    from elp_core.tasks import SpeechRecognition, decide_by, make_task

    task = make_task(slot.task, data.train, options)
    if isinstance(task, SpeechRecognition):
        # that of the transcripts; the packages of this machine may have changed since
        task = replace(task, normaliser=language.normaliser)
        task = decide_by(task, settings.gate.metric or None)
    return task


def _teachers(dataset: DatasetVersion, known: Mapping[str, RegisteredAdapter]) -> list[LearnedFrom]:
    """Return the adapters that labelled clips of a dataset version."""
    found = []
    for digest in sorted(dataset.teachers):
        one = known.get(digest)
        found.append(LearnedFrom(digest, one.slot if one else "", one.version if one else 0, "teacher"))
    return found


def _known_adapters(
    client: MlflowClient, dataset: DatasetVersion, settings: SlotSettings
) -> Mapping[str, RegisteredAdapter]:
    """Return the registered adapters by bundle; none if the training neither starts from one nor has teachers."""
    needed = settings.train.init != "fresh" or dataset.teachers
    return by_bundle(server_api.registered_records(client.tracking_uri)) if needed else {}
