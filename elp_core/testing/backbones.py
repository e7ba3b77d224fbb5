"""Tiny random backbones of every family, made in milliseconds, the same for the same seed."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from elp_core.backbones import Backbone
from elp_core.backbones.families import FAMILIES, make_config, make_model

FAMILY_NAMES = tuple(FAMILIES)


def tiny_backbone(
    family: str = "hubert", pre_norm: bool = False, seed: int = 0, normalize: bool = False, **overrides: Any
) -> Backbone:
    """A random backbone of 3 layers and 24 dimensions with frames of 20 ms (320 samples).

    Args:
        family: one of `FAMILY_NAMES`. The CNN has group norm where the family's base size has it and `pre_norm` is
            false, else layer norm.
        pre_norm: large-style layers; data2vec-audio has none.
        seed: of the weights; torch's global random state stays as it was.
        normalize: bring waveforms to zero mean and unit variance.
        **overrides: values of the transformers configuration.
    """
    return Backbone.from_model(tiny_model(family, pre_norm, seed, **overrides), f"tiny-{family}-{seed}", normalize)


def tiny_model(family: str = "hubert", pre_norm: bool = False, seed: int = 0, **overrides: Any) -> nn.Module:
    """The transformers model that `tiny_backbone` wraps; in eval mode."""
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
        **overrides,
    }
    if family == "data2vec-audio":
        del values["do_stable_layer_norm"], values["feat_extract_norm"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make_model(make_config(values, "tiny"), "cpu").eval()
        _disturb(model)
    return model


@torch.no_grad()
def _disturb(model: nn.Module) -> None:
    """Move biases and norms off their zeros and ones, where a forgotten one would not show."""
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.add_(0.1 * torch.randn_like(parameter))
