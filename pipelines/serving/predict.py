"""Use a slot's champion on files: an answer for each, or whether the last is of the speaker in the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from elp_core.decoding import DecodeConfig
from pipelines.errors import RegistryError, UsageError
from pipelines.local.settings import Settings
from pipelines.registry.client import bundle_models as models
from pipelines.registry.client import model_registry as registry
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class Answer:
    """What an adapter says of some files."""

    slot: Slot
    version: int
    files: tuple[str, ...]
    answers: tuple[str, ...] = ()
    """One for each file: its words (ASR), its class (SER, SIC); none where files are compared."""
    score: float | None = None
    """Where files are compared: how alike the last is to the others; a cosine, or normalised by a cohort."""
    threshold: float | None = None
    """Where files are compared: scores from here on are accepted; chosen on the validation split."""
    accepted: bool | None = None
    """Whether the last file is taken for the speaker of the others."""


def run(
    slot: Slot,
    settings: Settings,
    files: Sequence[Path],
    *,
    mlflow_uri: str,
    cache: Path,
    version: int | str = registry.CHAMPION,
    decode: DecodeConfig | None = None,
) -> Answer:
    """Answer each file, or compare the last one with the others (ASV), with the slot's champion.

    Args:
        slot: The slot.
        settings: Of the workspace; the backbone is taken from them.
        files: WAV, FLAC, MP3 or OGG, any rate. Where the task compares: one or more that enrol a speaker, then the
            one that is judged.
        mlflow_uri: Address of the MLflow server.
        cache: Folder for downloaded bundles.
        version: Number or alias, where it should not be the champion.
        decode: How ASR writes its transcripts, where not greedily.

    Raises:
        UsageError: for no file, for fewer than two where the task compares, or for `decode` on another task than ASR.
        ConfigError: where `decode` cannot be had: its package or its language model is missing or unfit.
        RegistryError: where the slot has no such version.
        AudioError: for a file that cannot be used.
        FingerprintMismatch: where the bundle belongs to another backbone than the workspace's.
    """
    if len(files) < 2 and _compares(slot):
        raise UsageError(
            f"{slot} compares recordings, got {len(files)}; try: elp predict {slot} enrolled.wav [more.wav …] other.wav"
        )
    if slot.task != "asr" and decode is not None:
        raise UsageError(f"{slot} writes no transcripts; --beam and --lm are for SITE/asr")
    if not files:
        raise UsageError(f"no file to answer; try: elp predict {slot} file.wav")
    client = registry.connect(mlflow_uri)
    found = registry.find(client, slot, version)
    if found is None and version == registry.CHAMPION:
        raise RegistryError(
            f"{slot} has no champion yet; train and promote one: elp retrain {slot}, elp promote {slot}"
        )
    chosen = found or registry.get(client, slot, version)
    bundle = models.download_bundle(client, chosen, cache)
    told = Answer(slot, chosen.version, tuple(str(path) for path in files))
    return _answer(told, bundle, settings.backbone, files, decode)


def _compares(slot: Slot) -> bool:
    from elp_core.tasks import compares

    return compares(slot.task_spec.load())


def _answer(told: Answer, bundle: Path, backbone: str, files: Sequence[Path], decode: DecodeConfig | None) -> Answer:
    from elp_core import audio
    from elp_core.backbones import Backbone
    from elp_core.bundle import deployed_threshold, load_bundle
    from elp_core.inference import predict
    from elp_core.tasks import Comparing

    # files first: a wrong name is told before a model is loaded
    waveforms = [audio.load(path) for path in files]
    model = load_bundle(bundle, Backbone.from_pretrained(backbone))
    outputs: list[Any] = predict(model, waveforms, decode=decode)
    if not isinstance(model.task, Comparing):
        return replace(told, answers=tuple(str(output) for output in outputs))
    match = model.task.compare(model.head, outputs[:-1], outputs[-1])
    match = replace(match, threshold=deployed_threshold(model.task, bundle))
    return replace(told, score=match.score, threshold=match.threshold, accepted=match.accepted)
