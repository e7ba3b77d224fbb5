"""Apply a slot's champion to files: an answer for each file, or a comparison of the last file with the others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from elp_core.channels import Channel
from elp_core.decoding import DecodeConfig
from pipelines.errors import RegistryError, UsageError
from pipelines.local.settings import Settings
from pipelines.registry.adapter_version import CHAMPION
from pipelines.registry.client import model_registry
from pipelines.registry.client.bundle_models import download_bundle
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class Answer:
    """The answer of an adapter to some files."""

    slot: Slot
    version: int
    files: tuple[str, ...]
    answers: tuple[str, ...] = ()
    """One for each file: its words (ASR) or its class (SER, SIC); empty for a task that compares files (ASV)."""
    score: float | None = None
    """ASV: similarity of the last file to the others; a cosine, or normalised by a cohort."""
    threshold: float | None = None
    """ASV: this score and higher ones are accepted; chosen on the validation split."""
    accepted: bool | None = None
    """ASV: whether the last file is accepted as the speaker of the others."""


def predict_files(
    slot: Slot,
    settings: Settings,
    files: Sequence[Path],
    *,
    mlflow_uri: str,
    cache: Path,
    version: int | str = CHAMPION,
    decode: DecodeConfig | None = None,
    channel: Channel = "same",
) -> Answer:
    """Answer each file, or compare the last one with the others (ASV), with the slot's champion or another version.

    Files are WAV, FLAC, MP3 or OGG of any rate; `cache` is the folder for downloaded bundles; without `decode`, ASR
    decodes greedily; `channel` is for files whose channels differ. Raises UsageError for too few files or for `decode`
    with another task than ASR, ConfigError if its language model is unsuitable, RegistryError if there is no such
    version, AudioError if a file cannot be used or its channels differ and none was chosen, FingerprintMismatch if the
    bundle belongs to another backbone than that of `settings`.
    """
    from elp_core import audio
    from elp_core.backbones import Backbone
    from elp_core.bundle import deployed_threshold, load_bundle
    from elp_core.inference import predict
    from elp_core.tasks import Comparing, compares

    if len(files) < 2 and compares(slot.task_spec.load()):
        raise UsageError(
            f"{slot} compares recordings, got {len(files)}; try: elp predict {slot} enrolled.wav [more.wav …] other.wav"
        )
    if slot.task != "asr" and decode is not None:
        raise UsageError(f"{slot} writes no transcripts; --beam and --lm are for SITE/asr")
    if not files:
        raise UsageError(f"no file to answer; try: elp predict {slot} file.wav")
    client = connect(mlflow_uri)
    found = model_registry.find(client, slot, version)
    if found is None and version == CHAMPION:
        raise RegistryError(
            f"{slot} has no champion yet; train and promote one: elp retrain {slot}, elp promote {slot}"
        )
    chosen = found or model_registry.get(client, slot, version)
    bundle = download_bundle(client, chosen, cache)
    # files first, so that a wrong name is reported before a model is loaded
    waveforms = [audio.load(path, channel) for path in files]
    model = load_bundle(bundle, Backbone.from_pretrained(settings.backbone))
    outputs: list[Any] = predict(model, waveforms, decode=decode)
    answer = Answer(slot, chosen.version, tuple(str(path) for path in files))
    if not isinstance(model.task, Comparing):
        return replace(answer, answers=tuple(str(output) for output in outputs))
    match = model.task.compare(model.head, outputs[:-1], outputs[-1])
    match = replace(match, threshold=deployed_threshold(model.task, bundle))
    return replace(answer, score=match.score, threshold=match.threshold, accepted=match.accepted)
