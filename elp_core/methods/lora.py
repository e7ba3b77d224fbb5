"""LoRA by `peft`, put into copies of the encoder layers that share the backbone's weights."""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn

from elp_core.backbones import Backbone, private_network
from elp_core.backbones.private import sharing_copy
from elp_core.errors import ConfigError
from elp_core.methods.base import PlainNetwork
from elp_core.methods.config import LoraConfig

INITIAL_STD = 1e-3
"""Of the up-projections' weights. With peft's zeros the down-projections would have no gradient in the first step, and
one that never gets any looks the same; so small, a fresh update is still near nothing."""


class LoraNetwork(PlainNetwork):
    """Low-rank updates of the chosen linear layers in every encoder layer (arXiv 2106.09685, section 4.1).

    Our forward pass calls a layer's projections as modules, so updates of WavLM's queries and values take part; its
    attention in transformers reads their weights instead, and leaves such updates without effect or gradient.

    Raises:
        ConfigError: where `peft` is not installed.
    """

    def __init__(self, backbone: Backbone, config: LoraConfig) -> None:
        super().__init__(backbone)
        peft = _peft()
        self.touched = tuple(range(backbone.layer_count))
        self.layers = nn.ModuleDict({str(number): sharing_copy(backbone.layers[number]) for number in self.touched})
        chosen = peft.LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            target_modules=list(config.targets),
            lora_dropout=config.dropout,
        )
        peft.inject_adapter_in_model(chosen, self.layers)
        for name, parameter in self.layers.named_parameters():
            if ".lora_B." in name:
                nn.init.normal_(parameter, std=INITIAL_STD)

    def network(self, backbone: Backbone) -> Backbone:
        """The copies in place of the layers."""
        return private_network(backbone, {int(number): layer for number, layer in self.layers.items()})


def _peft() -> Any:
    # first: transformers, which peft imports, import torchaudio's extension otherwise
    importlib.import_module("elp_core._torchaudio")
    try:
        return importlib.import_module("peft")
    except ModuleNotFoundError as error:
        raise ConfigError("LoraConfig", ["LoRA needs peft: install it with pip install elp-foundry[peft]"]) from error
