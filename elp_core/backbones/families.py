"""Families of speech backbones: the one file that touches transformers' model classes.

transformers is imported inside the functions: it takes seconds, and many callers only need the names.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from elp_core.errors import BackboneError
from elp_core.private_names import import_after_torchaudio

PARTS = ("feature_extractor", "feature_projection", "encoder")
"""Submodules of a backbone; heads, quantisers and the mask embedding do not belong to it.

Neither do the optional convolutions after the encoder of w2v-BERT 2.0 (``add_adapter``) and the feed-forward block
before them: they lower the frame rate for a text decoder, and adapters and heads here read the encoder's own states.
"""
WAVEFORMS, MEL = "Wav2Vec2FeatureExtractor", "SeamlessM4TFeatureExtractor"
"""Classes of transformers' processors. The first keeps the waveform, the second computes log mel energies of it."""


@dataclass(frozen=True)
class Family:
    """The names of one family in transformers."""

    package: str
    """Under ``transformers.models``."""
    name: str
    """End of module names; start of tensor names in checkpoints with a task head (such as ``HubertForCTC``)."""
    stem: str
    """Start of class names."""
    processor: str = WAVEFORMS
    """The class that prepares a waveform."""
    conformer: bool = False
    """Whether layers are Conformer blocks, with a convolution between attention and a second feed-forward block."""
    linears: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Names of linear layers inside an encoder layer, by their names in the other families, if they differ."""

    def load(self, file: str, end: str) -> Any:
        """Return the class whose name has this `end`, from the module ``<file>_<name>``."""
        module = import_after_torchaudio(f"transformers.models.{self.package}.{file}_{self.name}")
        return getattr(module, f"{self.stem}{end}")


FAMILIES: dict[str, Family] = {
    "wav2vec2": Family("wav2vec2", "wav2vec2", "Wav2Vec2"),
    "hubert": Family("hubert", "hubert", "Hubert"),
    "wavlm": Family("wavlm", "wavlm", "WavLM"),
    "data2vec-audio": Family("data2vec", "data2vec_audio", "Data2VecAudio"),
    "unispeech-sat": Family("unispeech_sat", "unispeech_sat", "UniSpeechSat"),
    "wav2vec2-bert": Family(
        "wav2vec2_bert",
        "wav2vec2_bert",
        "Wav2Vec2Bert",
        MEL,
        conformer=True,
        linears={"q_proj": "linear_q", "k_proj": "linear_k", "v_proj": "linear_v", "out_proj": "linear_out"},
    ),
}
"""By `model_type` of a checkpoint's config.json."""

ARCHITECTURE_KEYS = (
    "model_type",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "layer_norm_eps",
    "feat_extract_norm",
    "feat_extract_activation",
    "feat_proj_layer_norm",
    "conv_dim",
    "conv_kernel",
    "conv_stride",
    "conv_bias",
    "conv_pos_kernel_size",
    "conv_pos_batch_norm",
    "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups",
    "do_stable_layer_norm",
    "num_buckets",
    "max_bucket_distance",
    "adapter_attn_dim",
    "feature_projection_input_dim",
    "position_embeddings_type",
    "left_max_position_embeddings",
    "right_max_position_embeddings",
    "conv_depthwise_kernel_size",
)
"""Configuration keys that change what the backbone computes; they are part of its fingerprint."""


def make_config(values: Mapping[str, Any], where: str) -> Any:
    """Return the family's transformers configuration from the values of a config.json.

    Raises:
        BackboneError: The model type is of no supported family, or transformers refuses the values.
    """
    kind = values.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise BackboneError(
            f"{where}: model_type is {kind!r}, expected one of {', '.join(FAMILIES)}; "
            "choose a checkpoint of one of these families"
        )
    config = FAMILIES[kind].load("configuration", "Config")
    try:
        made = config.from_dict(dict(values))
    except Exception as error:  # transformers raises many kinds here; each means the same to the caller
        raise BackboneError(f"{where}: transformers {_version()} refuses this configuration: {error}") from error
    refuse_unknown_form(made, where)
    return made


def refuse_unknown_form(config: Any, where: str) -> None:
    """Refuse a Conformer that our forward pass would compute wrongly.

    Raises:
        BackboneError: Its attention has positions of another kind than ``relative_key``, or the width of its input is
            odd, so that it is not made of two mel frames.
    """
    if not FAMILIES[config.model_type].conformer:
        return
    kind, width = config.position_embeddings_type, config.feature_projection_input_dim
    if kind not in (None, "relative_key"):
        raise BackboneError(
            f"{where}: position_embeddings_type is {kind!r}, expected 'relative_key' (as in w2v-BERT 2.0) or null; "
            "choose a checkpoint with such positions"
        )
    if width < 2 or width % 2:
        raise BackboneError(
            f"{where}: feature_projection_input_dim is {width}, expected twice a number of mel bins, such as 160; "
            "fetch config.json again"
        )


def make_model(config: Any, device: str) -> nn.Module:
    """Return the bare model of `config` with unset (`device` ``meta``) or random weights.

    Raises:
        BackboneError: transformers cannot make a model of these sizes or activations.
    """
    kind = FAMILIES[config.model_type].load("modeling", "Model")
    try:
        with torch.device(device):
            model: nn.Module = kind(config)
    except (ValueError, KeyError, TypeError, RuntimeError, IndexError, ZeroDivisionError) as error:
        raise BackboneError(
            f"transformers {_version()} cannot make a {config.model_type} of this configuration: "
            f"{type(error).__name__} {error}; fetch config.json again"
        ) from error
    return model


def architecture(config: Any, normalize: bool) -> dict[str, Any]:
    """Return what the backbone computes apart from its weights, as plain JSON values.

    `normalize` (see `preprocessing`) is part of it: an adapter trained on normalised waveforms needs them.
    """
    known = type(config)()  # config.json may have keys that the family does not have; they change nothing
    found = {key: getattr(config, key) for key in ARCHITECTURE_KEYS if hasattr(known, key)}
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}
    return {key: value for key, value in plain.items() if value is not None} | {"normalize": normalize}


def _version() -> str:
    return str(importlib.import_module("transformers").__version__)
