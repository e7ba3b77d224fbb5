"""Random WavLM networks of the sizes that the benchmarks share (Chen et al. 2022, arXiv 2110.13900, section IV)."""

from __future__ import annotations

from typing import Any

from elp_core.backbones import Backbone
from elp_core.backbones.families import make_config, make_model
from elp_core.testing import tiny_model

# base size is the default of transformers' configuration
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
}
_DROPOUTS = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout")


def random_network(size: str, dropout: bool, device: Any = "cpu") -> Any:
    """Return a transformers model with random weights, with transformers' usual dropout or none.

    Args:
        size: ``base`` (94 M weights), ``large`` (315 M) or ``toy``, whose figures mean nothing.
        dropout: Keep the usual probabilities; no layer is ever skipped.
        device: Where the weights are drawn; a GPU draws those of a large network at once.
    """
    values: dict[str, Any] = {} if dropout else dict.fromkeys(_DROPOUTS, 0.0)
    values |= {"layerdrop": 0.0, "apply_spec_augment": False}
    if size == "toy":
        return tiny_model("wavlm", **values).to(device)
    sizes = LARGE if size == "large" else {}
    return make_model(make_config({"model_type": "wavlm", **values, **sizes}, "bench"), str(device))


def random_backbone(size: str = "base", device: Any = "cpu") -> Backbone:
    """Return a backbone around `random_network`."""
    return Backbone.from_model(random_network(size, dropout=False, device=device).eval(), "bench")
