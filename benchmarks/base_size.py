"""The random backbone of WavLM's base size that several benchmarks share."""

from __future__ import annotations

from typing import Any

from elp_core.backbones import Backbone
from elp_core.testing import tiny_backbone

SIZES: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "conv_dim": [512] * 7,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}
"""WavLM base, Chen et al. 2022 (arXiv 2110.13900), section IV."""


def base_backbone() -> Backbone:
    """94 M random weights."""
    return tiny_backbone("wavlm", **SIZES)
