"""What assesses unlabelled recordings: the champion of a slot, or the backbone alone if there is none."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipelines.datasets.shard_columns import shard_ids
from pipelines.errors import RegistryError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.slot_backbone import backbone_of_bundle
from pipelines.local.workspace import Workspace
from pipelines.registry.client import model_registry
from pipelines.registry.client.bundle_models import download_bundle
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from pipelines.selection.site_recordings import HeldClips

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from elp_core.backbones import Backbone
    from elp_core.model import ElpModel

T = TypeVar("T")
_AT_ONCE = 64
"""Recordings in memory at once."""
_COVERED = 2000
"""Training clips whose features say what is covered: the ones with the lowest ids, which are a random sample."""


@dataclass(frozen=True, eq=False)
class Assessor:
    """A model on this machine, and the version that it is."""

    model: ElpModel | Backbone
    version: int | None = None
    """Of the champion; None if the backbone alone assesses."""
    bundle: str = ""
    """Digest of the champion's bundle."""
    classes: tuple[str, ...] = ()
    """Classes that it answers with, if it has some."""

    @property
    def backbone(self) -> Backbone:
        """The backbone, which an adapter does not change."""
        from elp_core.model import ElpModel

        return self.model.backbone if isinstance(self.model, ElpModel) else self.model

    @property
    def min_samples(self) -> int:
        """Samples at 16 kHz that a recording needs."""
        return self.backbone.min_samples


def champion_assessor(workspace: Workspace, slot: Slot) -> Assessor | None:
    """Return the champion of a slot, verified; None if the slot has none. A ServiceError if no registry answers."""
    from elp_core.bundle import open_bundle
    from elp_core.tasks.classification import ClipClassification

    client = connect(mlflow_uri(workspace))
    champion = model_registry.find_champion(client, slot)
    if champion is None:
        return None
    folder = download_bundle(client, champion, workspace.cache)
    manifest, model = open_bundle(folder, backbone_of_bundle(workspace.settings, slot, folder))
    if manifest.digest != champion.bundle_digest:
        raise RegistryError(f"{folder} holds the bundle {manifest.digest}, expected {champion.bundle_digest}")
    classes = tuple(model.task.classes) if isinstance(model.task, ClipClassification) else ()
    return Assessor(model, champion.version, champion.bundle_digest, classes)


def backbone_assessor(workspace: Workspace, slot: Slot) -> Assessor:
    """Return the backbone of the slot, which has features and no answers."""
    from elp_core.backbones import Backbone

    return Assessor(Backbone.from_pretrained(workspace.settings.backbone_of(slot)))


def covered_features(held: HeldClips, assessor: Assessor) -> list[npt.NDArray[np.float32]]:
    """Return the features [C] of training clips that people labelled: a sample of the slot."""
    from elp_core.audio import load
    from elp_core.inference.assess_clips import assess_waveforms

    wanted = held.labelled[:_COVERED]
    found: dict[str, npt.NDArray[np.float32]] = {}
    for chunk in chunks(sounds_of(held.shards, wanted)):
        assessed = assess_waveforms(assessor.backbone, [load(sound) for _, sound in chunk])
        found |= {clip: one.features for (clip, _), one in zip(chunk, assessed, strict=True)}
    # the order of shards is no part of the choice
    return [found[clip] for clip in wanted]


def sounds_of(shards: Iterable[Path], ids: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the ids and FLAC bytes of the clips `ids`; each shard is read once, some dozens of clips at a time."""
    import pyarrow.parquet as pq

    wanted = frozenset(ids)
    for shard in shards:
        if wanted.isdisjoint(shard_ids(shard).to_pylist()):
            continue
        with pq.ParquetFile(shard) as file:
            for batch in file.iter_batches(_AT_ONCE, columns=["id", "audio.bytes"]):
                for place, clip in enumerate(batch["id"].to_pylist()):
                    if clip in wanted:
                        yield clip, batch["audio"][place]["bytes"].as_py()


def chunks(items: Iterable[T]) -> Iterator[Sequence[T]]:
    """Yield items, some dozens at a time."""
    rest = iter(items)
    while chunk := list(itertools.islice(rest, _AT_ONCE)):
        yield chunk
