"""What a recogniser learns to write: the language and the units of its dataset version, and the champion it grows from.

A head whose units grew starts from the rows of the champion only if all clips of the champion's training are still in
the slot, with the same transcripts, and none moved from training to validation. They are then among the clips of the
new training, and an erasure still finds every adapter by its clips; what was corrected does not live on in the rows.
The adapters that the champion learned from must not have learned anything else, either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.config import to_dict
from elp_core.errors import BundleError, ConfigError
from elp_core.languages import LanguageConfig, Units
from elp_core.task_specs import RecognitionOptions
from pipelines.datasets.dataset_version import DatasetVersion, TranscriptLanguage
from pipelines.datasets.slot_language import pinned_units
from pipelines.errors import VersioningError
from pipelines.local.settings import SlotSettings
from pipelines.registry.ancestry import by_bundle
from pipelines.registry.client import model_registry, server_api
from pipelines.registry.client.bundle_models import download_bundle
from pipelines.registry.lineage import Lineage, TrainedLanguage, ids_digest
from pipelines.registry.signing.canonical_json import canonical_json, sha256
from pipelines.registry.slot import Slot
from pipelines.training.parent_data import LearningData, parent_obstacle

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from elp_core.backbones import Backbone
    from elp_core.types import Clip
    from pipelines.datasets.versions import TrainingData


@dataclass(frozen=True)
class GrownFrom:
    """The champion whose head a head with more units starts from."""

    bundle: Path
    """Folder of its bundle, verified."""
    digest: str
    """``sha256:…`` of its bundle."""
    added: tuple[str, ...]
    """Units that it does not have."""


def task_options(settings: SlotSettings, dataset: DatasetVersion) -> Any:
    """Return the options of the slot's task with the language and the units that the dataset version pins."""
    units = pinned_units(dataset)
    if not isinstance(settings.task, RecognitionOptions) or (not dataset.language.code and units is None):
        return settings.task
    # what intake alone does is left at its default: it changes no adapter
    usual = LanguageConfig()
    language = replace(settings.language, digits=usual.digits, min_count=usual.min_count)
    return replace(settings.task, language=language, units=units)


def trained_language(dataset: DatasetVersion, grown: GrownFrom | None = None) -> TrainedLanguage:
    """Return what a lineage says of the language: nothing for English letters, the default."""
    units, language = pinned_units(dataset), dataset.language
    if units is None and language == TranscriptLanguage():
        return TrainedLanguage()
    shown = units or Units()
    return TrainedLanguage(
        code=language.code or LanguageConfig().code,
        normaliser=language.normaliser,
        kind=shown.kind,
        units="sha256:" + sha256(canonical_json(shown.to_json())),
        size=len(shown.symbols),
        parent=grown.digest if grown else "",
        added=grown.added if grown else (),
    )


def find_grown_from(
    client: MlflowClient, repository: str, slot: Slot, data: TrainingData, options: Any, backbone: Backbone, cache: Path
) -> GrownFrom | None:
    """Return the champion to start a head from; None if the slot's units did not grow, or its clips changed.

    `options` are those of the new head: rows of another width cannot be copied. Raise RegistryError if the champion's
    bundle is not the registered one, ServiceError if MLflow is gone.
    """
    from elp_core.bundle import verify_bundle

    units = pinned_units(data.dataset)
    champion = model_registry.find_champion(client, slot) if units else None
    if units is None or champion is None or champion.fingerprint != backbone.fingerprint:
        return None
    folder = download_bundle(client, champion, cache)
    try:
        manifest = verify_bundle(folder)
        lineage = Lineage.from_json(manifest.lineage)
        known = written_units(manifest.task)
    except (BundleError, ConfigError, ValueError):
        # an adapter that this release cannot read gives no rows
        return None
    if manifest.task.get("width") != getattr(options, "width", None):
        return None
    if known is None or not _grew(known, units) or lineage.language.normaliser != data.dataset.language.normaliser:
        return None
    if not _still_there(_trained_on(repository, slot, lineage, cache), data):
        return None
    if lineage.all_learned:
        adapters = by_bundle(server_api.registered_records(client.tracking_uri))
        record, place = adapters.get(champion.bundle_digest), LearningData.of(repository, cache, slot, data)
        if record is None or parent_obstacle(place, record, adapters):
            return None
    return GrownFrom(folder, champion.bundle_digest, units.symbols[len(known.symbols) :])


def written_units(task: Mapping[str, Any]) -> Units | None:
    """Return the units of a bundle's task, those of English too; None if the task writes no transcripts.

    Raise ConfigError if the task is not one of this release.
    """
    from elp_core.tasks import SpeechRecognition, task_from_json

    made = task_from_json(task)
    return made.units if isinstance(made, SpeechRecognition) else None


def _grew(before: Units, now: Units) -> bool:
    """Return whether `now` is `before` with more units at its end."""
    known = now.kind, now.model, now.symbols[: len(before.symbols)]
    same = (before.kind, before.model, before.symbols) == known
    return same and len(now.symbols) > len(before.symbols)


def _still_there(trained: Sequence[Clip] | None, data: TrainingData) -> bool:
    """Return whether known clips are all in `data`, none that fitted weights among those that validate."""
    if trained is None:
        return False
    present = {(clip.id, clip.text) for clip in (*data.train, *data.validation)}
    fitted = {clip.id for clip in trained if clip.split == "train"}
    return {(clip.id, clip.text) for clip in trained} <= present and fitted.isdisjoint(c.id for c in data.validation)


def _trained_on(repository: str, slot: Slot, lineage: Lineage, cache: Path) -> Sequence[Clip] | None:
    """Return the clips that a lineage names; None if they are unknown."""
    from pipelines.datasets.versions import load_split

    try:
        clips = load_split(repository, lineage.dataset.tag, slot, ("train", "validation"), cache, "meta")
    except VersioningError:
        return None
    return clips if ids_digest(clip.id for clip in clips) == lineage.training.ids else None


def keyed_language(language: TrainedLanguage, options: Any) -> dict[str, Any]:
    """Return what a training key says of the language; nothing for English letters, whose keys stay as they were."""
    if language == TrainedLanguage():
        return {}
    rule = to_dict(language.normaliser) if language.normaliser else None
    named = {"code": language.code, "normaliser": rule, "units": language.units}
    declared = to_dict(options.language) if isinstance(options, RecognitionOptions) else {}
    return {"language": {**named, "declared": declared, "parent": language.parent}}
