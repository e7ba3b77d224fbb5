"""What a checkpoint's processor does to a waveform before the network: read from its files, never guessed.

transformers 5 saves ``processor_config.json``, with the settings under ``feature_extractor``; older releases and
`Wav2Vec2FeatureExtractor.save_pretrained` write ``preprocessor_config.json``. The first one wins if it has such
settings, as in transformers. A key that is left out has the default of `Wav2Vec2FeatureExtractor`, the class of most
families, or of `SeamlessM4TFeatureExtractor`, the class of families with a mel front end.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from elp_core.backbones.families import FAMILIES, MEL, WAVEFORMS
from elp_core.backbones.mel import STACKED
from elp_core.backbones.weights import PREPROCESSOR_FILE, PROCESSOR_FILE, read_json
from elp_core.errors import BackboneError
from elp_core.types import SAMPLE_RATE

_NESTED = ("feature_extractor", "audio_processor")


def read_preprocessing(folder: Path, config: Any) -> bool:
    """Return whether the checkpoint in `folder`, with this transformers configuration, expects scaled waveforms.

    A mel front end does not: it normalises the energies, always.

    Raises:
        BackboneError: As `reads_normalised`; or a mel front end is of another form than `mel` computes.
    """
    if FAMILIES[config.model_type].processor == WAVEFORMS:
        return reads_normalised(folder)
    bins = config.feature_projection_input_dim // STACKED
    wanted = {"feature_extractor_type": MEL, "num_mel_bins": bins, "stride": STACKED, "sampling_rate": SAMPLE_RATE}
    unknown = f"it is unknown which energies the backbone expects; copy the file from its source ({wanted})"
    path, settings = _settings(folder, unknown)
    _refuse_class_and_rate(path, settings, MEL, "which computes log mel energies")
    for name, usual, value in (("num_mel_bins", 80, bins), ("stride", 2, STACKED)):
        found = settings.get(name, usual)
        if isinstance(found, bool) or found != value:
            raise BackboneError(
                f"{path}: {name} is {found!r}, expected {value}: the backbone takes {STACKED} frames of {bins} "
                f"mel bins at a time (feature_projection_input_dim is {bins * STACKED}); fetch both files again"
            )
    return False


def reads_normalised(folder: Path) -> bool:
    """Return whether the checkpoint in `folder` expects each waveform scaled to zero mean and unit variance.

    Raises:
        BackboneError: No file says so, the settings are malformed or of another class of processor, or the backbone
            expects another sampling rate than 16,000 Hz.
    """
    path, settings = _settings(
        folder,
        "it is unknown whether the backbone expects normalised waveforms; copy the file from the checkpoint's source, "
        f'or write {PREPROCESSOR_FILE} with {{"do_normalize": true, "sampling_rate": {SAMPLE_RATE}}} (false if the '
        "backbone was trained on plain waveforms, or has adapters that were trained without such a file)",
    )
    _refuse_class_and_rate(path, settings, WAVEFORMS, "which takes waveforms")
    normalize = settings.get("do_normalize", True)
    if not isinstance(normalize, bool):
        raise BackboneError(f"{path}: do_normalize is {normalize!r}, expected true or false; correct the file")
    return normalize


def _refuse_class_and_rate(path: Path, settings: Mapping[str, Any], expected: str, purpose: str) -> None:
    kind = settings.get("feature_extractor_type", expected)
    if kind != expected:
        raise BackboneError(
            f"{path}: feature_extractor_type is {kind!r}, expected {expected}, {purpose}; "
            "choose a checkpoint with such a processor"
        )
    rate = settings.get("sampling_rate", SAMPLE_RATE)
    if isinstance(rate, bool) or rate != SAMPLE_RATE:
        raise BackboneError(
            f"{path}: sampling_rate is {rate!r}, expected {SAMPLE_RATE}: every recording is resampled to "
            f"{SAMPLE_RATE:,} Hz, which this backbone was not trained on; choose a backbone for {SAMPLE_RATE:,} Hz"
        )


def _settings(folder: Path, unknown: str) -> tuple[Path, Mapping[str, Any]]:
    """Return the settings of the waveform processor, and the file that has them; `unknown` ends the error."""
    processor, preprocessor = folder / PROCESSOR_FILE, folder / PREPROCESSOR_FILE
    if processor.is_file():
        whole = read_json(processor)
        for name in _NESTED:
            if name in whole:
                settings = whole[name]
                if not isinstance(settings, dict):
                    raise BackboneError(f"{processor}: {name} is {settings!r}, expected an object; fetch it again")
                return processor, settings
    if preprocessor.is_file():
        return preprocessor, read_json(preprocessor)
    raise BackboneError(
        f"{folder} has no {PREPROCESSOR_FILE} and no {PROCESSOR_FILE} with a feature_extractor, so {unknown}"
    )


def standardise(waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Scale each clip's own samples to zero mean and unit variance, by the formula of Wav2Vec2FeatureExtractor.

    Waveforms are float32 [B, T] with `lengths` [B] real samples; the padding becomes zero.
    """
    real = torch.arange(waveforms.shape[1], device=waveforms.device) < lengths.to(waveforms.device).unsqueeze(1)
    count = real.sum(1, keepdim=True)
    centred = (waveforms - (waveforms * real).sum(1, keepdim=True) / count) * real
    variance = centred.square().sum(1, keepdim=True) / count
    return centred / (variance + 1e-7).sqrt()
