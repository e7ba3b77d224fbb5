"""A kit for tests: tiny random backbones of every family, tones and clips; the same for the same seed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from elp_core.audio import clip_id, encode_flac
from elp_core.backbones import Backbone
from elp_core.backbones.families import FAMILIES, MEL, WAVEFORMS, make_config, make_model
from elp_core.backbones.weights import PREPROCESSOR_FILE
from elp_core.files import write_whole
from elp_core.types import SAMPLE_RATE, Clip, Hertz, Samples, Seconds

FAMILY_NAMES = tuple(FAMILIES)
FAMILY_STYLES = tuple(
    (family, pre_norm)
    for family in FAMILY_NAMES
    for pre_norm in (False, True)
    if not (pre_norm and family in ("data2vec-audio", "wav2vec2-bert"))
)
"""Every family with each form of its layers, as (family, pre_norm): two have layers of one form only."""
WORDS = ("one", "two", "three", "four")


_TINY_CONFORMER = {
    "feature_projection_input_dim": 8,
    "left_max_position_embeddings": 5,
    "right_max_position_embeddings": 2,
    "conv_depthwise_kernel_size": 5,
    "apply_spec_augment": False,
}


def tiny_backbone(
    family: str = "hubert", pre_norm: bool = False, seed: int = 0, normalize: bool = False, **overrides: Any
) -> Backbone:
    """Return a random backbone of 3 layers and 24 dimensions with frames of 20 ms (320 samples).

    Large-style layers (`pre_norm`; see `FAMILY_STYLES`) come with layer norm in the CNN, base-style layers with group
    norm if the family's base size has it. w2v-BERT 2.0 has four mel bins in place of a CNN. `normalize` scales
    waveforms to zero mean and unit variance; `overrides` are values of the transformers configuration.
    torch's global random state does not change.
    """
    return Backbone.from_model(tiny_model(family, pre_norm, seed, **overrides), f"tiny-{family}-{seed}", normalize)


def tiny_model(family: str = "hubert", pre_norm: bool = False, seed: int = 0, **overrides: Any) -> nn.Module:
    """Return the transformers model that `tiny_backbone` wraps; in eval mode."""
    values: dict[str, Any] = {
        "model_type": family,
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_dim": [8] * 7,
        "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
        "conv_stride": [5, 2, 2, 2, 2, 2, 2],
        "num_conv_pos_embeddings": 3 if family == "data2vec-audio" else 8,
        "num_conv_pos_embedding_groups": 2,
        "conv_pos_kernel_size": 5,
        "do_stable_layer_norm": pre_norm,
        "feat_extract_norm": "layer" if pre_norm else "group",
        "apply_spec_augment": False,
    }
    if family == "data2vec-audio":
        del values["do_stable_layer_norm"], values["feat_extract_norm"]
    if family == "wav2vec2-bert":
        shared = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        values = {name: values[name] for name in shared} | _TINY_CONFORMER
    values |= overrides
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make_model(make_config(values, "tiny"), "cpu").eval()
        for parameter in model.parameters():
            if parameter.ndim == 1:  # the zeros of biases and the ones of norms would hide a forgotten one
                parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model


def save_tiny(folder: Path, family: str = "hubert", pre_norm: bool = False, seed: int = 0, **overrides: Any) -> Path:
    """Save the model of `tiny_model` as a checkpoint in `folder`; waveforms are not normalised. Return the folder."""
    model: Any = tiny_model(family, pre_norm, seed, **overrides)
    model.save_pretrained(folder)
    if FAMILIES[family].processor == MEL:
        bins = model.config.feature_projection_input_dim // 2
        return write_preprocessor(folder, feature_extractor_type=MEL, num_mel_bins=bins, feature_size=bins, stride=2)
    return write_preprocessor(folder, do_normalize=False)


def write_preprocessor(folder: Path, **settings: Any) -> Path:
    """Describe a checkpoint's preprocessing in `folder` by these settings of a processor only."""
    values = {"feature_extractor_type": WAVEFORMS, "sampling_rate": SAMPLE_RATE, **settings}
    write_whole(folder / PREPROCESSOR_FILE, json.dumps(values, indent=2) + "\n")
    return folder


def tone(frequency: Hertz, seconds: Seconds, level: float = 0.3) -> npt.NDArray[np.float32]:
    """Return a sine, float32 [samples] at 16 kHz with peak `level`."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (level * np.sin(2 * np.pi * frequency * times)).astype(np.float32)


def waveform_batch(lengths: Sequence[Samples], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noise of the given lengths as a padded batch: float32 [B, T] and int64 [B]."""
    generator = torch.Generator().manual_seed(seed)
    waveforms = torch.zeros(len(lengths), max(lengths))
    for row, length in zip(waveforms, lengths, strict=True):
        row[:length] = 0.1 * torch.randn(length, generator=generator)
    return waveforms, torch.tensor(lengths)


def random_clips(count: int = 8, speakers: int = 2, seed: int = 0) -> list[Clip]:
    """Return clips of 0.4 to 0.8 s: a tone for each word (also the label) and speaker in faint noise. All ``train``."""
    rng = np.random.default_rng(seed)
    clips = []
    for number in range(count):
        word, speaker = number % len(WORDS), number % speakers
        samples = tone(300 + 200 * word + 40 * speaker, rng.uniform(0.4, 0.8))
        samples = (samples + 0.01 * rng.standard_normal(len(samples))).astype(np.float32)
        clips.append(
            Clip(
                id=clip_id(samples),
                audio=encode_flac(samples),
                duration=len(samples) / SAMPLE_RATE,
                split="train",
                text=WORDS[word],
                speaker=f"speaker-{speaker}",
                label=WORDS[word],
                condition="clean",
            )
        )
    return clips
