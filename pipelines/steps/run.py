"""Use a slot's champion on files: transcripts, or whether two recordings are of one speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elp_core.decoding import DecodeConfig
from pipelines.clients import models, registry
from pipelines.errors import RegistryError, UsageError
from pipelines.settings import Settings, Slot


@dataclass(frozen=True)
class Answer:
    """What an adapter says of some files."""

    slot: Slot
    version: int
    files: tuple[str, ...]
    transcripts: tuple[str, ...] = ()
    """ASR: one for each file."""
    score: float | None = None
    """ASV: cosine of the two embeddings, -1 … 1."""
    threshold: float | None = None
    """ASV: where false acceptances and false rejections were equal on the validation split."""
    accepted: bool | None = None
    """ASV: whether the two are taken for one speaker."""


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
    """Transcribe files (ASR), or compare two (ASV), with the slot's champion.

    Args:
        slot: The slot.
        settings: Of the workspace; the backbone is taken from them.
        files: WAV, FLAC, MP3 or OGG, any rate; exactly two for ASV.
        mlflow_uri: Address of the MLflow server.
        cache: Folder for downloaded bundles.
        version: Number or alias, where it should not be the champion.
        decode: How ASR writes its transcripts, where not greedily.

    Raises:
        UsageError: for no file, for ASV another number than two, or for `decode` on another task than ASR.
        ConfigError: where `decode` cannot be had: its package or its language model is missing or unfit.
        RegistryError: where the slot has no such version.
        AudioError: for a file that cannot be used.
        FingerprintMismatch: where the bundle belongs to another backbone than the workspace's.
    """
    if slot.task == "asv" and len(files) != 2:
        raise UsageError(f"{slot} compares two recordings, got {len(files)}; try: elp run {slot} one.wav other.wav")
    if slot.task != "asr" and decode is not None:
        raise UsageError(f"{slot} writes no transcripts; --beam and --lm are for SITE/asr")
    if not files:
        raise UsageError(f"no file to transcribe; try: elp run {slot} file.wav")
    client = registry.connect(mlflow_uri)
    found = registry.find(client, slot, version)
    if found is None and version == registry.CHAMPION:
        raise RegistryError(
            f"{slot} has no champion yet; train and promote one: elp retrain {slot}, elp promote {slot}"
        )
    chosen = found or registry.get(client, slot, version)
    bundle = models.download(client, chosen, cache)
    outputs = _predict(bundle, settings.backbone, files, decode)
    names = tuple(str(path) for path in files)
    if slot.task == "asv":
        return _compare(slot, chosen.version, names, bundle, outputs)
    return Answer(slot, chosen.version, names, transcripts=tuple(str(text) for text in outputs))


def _predict(bundle: Path, backbone: str, files: Sequence[Path], decode: DecodeConfig | None) -> list[Any]:
    from elp_core import audio
    from elp_core.backbones import Backbone
    from elp_core.bundle import load_bundle
    from elp_core.inference import predict

    # files first: a wrong name is told before a model is loaded
    waveforms = [audio.load(path) for path in files]
    return list(predict(load_bundle(bundle, Backbone.from_pretrained(backbone)), waveforms, decode=decode))


def _compare(slot: Slot, version: int, names: tuple[str, ...], bundle: Path, embeddings: list[Any]) -> Answer:
    import json

    score = float(embeddings[0] @ embeddings[1])
    lineage = json.loads((bundle / "lineage.json").read_text(encoding="utf-8"))
    threshold = lineage.get("validation", {}).get("eer.threshold")
    if threshold is None:
        return Answer(slot, version, names, score=score)
    return Answer(slot, version, names, score=score, threshold=float(threshold), accepted=score >= float(threshold))
