"""What each method puts into the network; the shared backbone never changes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from elp_core.adapters import ElpAdapters
from elp_core.adapters.elp_adapters import TunedNorms, learning_copy, without_dropout
from elp_core.backbones import Adapters, Backbone
from elp_core.backbones.families import FAMILIES
from elp_core.backbones.forward import LayerInserts
from elp_core.config import ElpConfig
from elp_core.dropout import drop
from elp_core.errors import ConfigError
from elp_core.methods.config import (
    BottleneckConfig,
    FullConfig,
    LoraConfig,
    MethodConfig,
    TopLayersConfig,
    WeightedSumConfig,
)
from elp_core.private_names import import_after_torchaudio, shallow_copy

BOTTLENECK_STD = 1e-2
"""Of both projections' weights (arXiv 1902.00751, section 3.6): a fresh bottleneck is near the identity."""
LORA_STD = 1e-3
"""Of the up-projections' weights. With peft's zeros the down-projections would have no gradient in the first step, like
a tensor that the loss does not depend on; with a value this small a fresh update is still near zero."""


def private_network(backbone: Backbone, layers: nn.ModuleDict, norm: nn.Module | None = None) -> Backbone:
    """Return a network with some encoder layers (by number) and the final norm replaced; it shares the rest."""
    network, encoder = shallow_copy(backbone), shallow_copy(backbone.encoder)
    own = dict(layers.items())
    encoder.layers = nn.ModuleList(own.get(str(number), layer) for number, layer in enumerate(backbone.layers))
    if norm is not None:
        encoder.layer_norm = norm
    network.encoder = encoder
    return network


class Bottleneck(nn.Module):
    """``h + W_up · gelu(W_down · h)`` (Houlsby et al. 2019, arXiv 1902.00751, section 2.1)."""

    def __init__(self, width: int, bottleneck: int, dropout: float) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self._dropout = dropout
        for projection in (self.down, self.up):
            nn.init.normal_(projection.weight, std=BOTTLENECK_STD)
            nn.init.zeros_(projection.bias)

    def forward(self, outcome: torch.Tensor) -> torch.Tensor:
        """Return a block's outcome [B, F, D] plus what the adapter adds to it."""
        inner = drop(F.gelu(self.down(outcome)), self._dropout, self.training)
        added: torch.Tensor = self.up(inner)
        return outcome + added


class BottleneckNetwork(Adapters):
    """Two bottlenecks in every layer, before each residual sum; the layers' norms are tuned as copies."""

    def __init__(self, backbone: Backbone, config: BottleneckConfig) -> None:
        super().__init__(backbone)
        self.touched = tuple(range(backbone.layer_count))

        def fresh() -> nn.ModuleDict:
            made = {str(n): Bottleneck(self.dim, config.bottleneck, config.dropout) for n in self.touched}
            return nn.ModuleDict(made)

        self.attention, self.ffn = fresh(), fresh()
        self.norm = nn.ModuleDict({str(n): TunedNorms(backbone.layers[n]) for n in self.touched})

    def inserts(self, layer: int) -> LayerInserts:
        """Return the layer's bottlenecks and norms."""
        name = str(layer)
        norms = self.norm[name]
        return LayerInserts(
            norms.get_submodule("attention"), norms.get_submodule("final"), self.ffn[name], self.attention[name]
        )


class FullNetwork(Adapters):
    """Copies of the feature projection and the whole encoder."""

    learns_input = True

    def __init__(self, backbone: Backbone, _: FullConfig) -> None:
        super().__init__(backbone)
        self.feature_projection = learning_copy(backbone.feature_projection)
        self.encoder = learning_copy(backbone.encoder)
        self.touched = tuple(range(backbone.layer_count))

    def train(self, mode: bool = True) -> FullNetwork:
        """Keep the copies in eval mode, like the backbone: a batch norm's statistics would let padding in."""
        super().train(mode)
        self.feature_projection.eval()
        self.encoder.eval()
        return self

    def network(self, backbone: Backbone) -> Backbone:
        """Return the copies on top of the backbone's CNN."""
        network = shallow_copy(backbone)
        network.encoder, network.feature_projection = self.encoder, self.feature_projection
        return network


class TopNetwork(Adapters):
    """Copies of the last layers, and of the norm after them if the backbone has one there (pre-norm).

    Raises:
        ConfigError: The backbone has fewer layers.
    """

    def __init__(self, backbone: Backbone, config: TopLayersConfig) -> None:
        super().__init__(backbone)
        layers = backbone.layer_count
        if config.count > layers:
            raise ConfigError("TopLayersConfig", [f"count is {config.count}; this backbone has {layers} layers"])
        self.touched = tuple(range(layers - config.count, layers))
        self.layers = nn.ModuleDict({str(number): learning_copy(backbone.layers[number]) for number in self.touched})
        self.norm: nn.Module | None = learning_copy(backbone.encoder.layer_norm) if backbone.pre_norm else None

    def network(self, backbone: Backbone) -> Backbone:
        """Return the copies on top of the backbone's other layers."""
        return private_network(backbone, self.layers, self.norm)


class LoraNetwork(Adapters):
    """Low-rank updates of the chosen linear layers in every encoder layer (arXiv 2106.09685, section 4.1), by `peft`.

    They are in copies of the layers that share the backbone's weights. Our forward pass calls a layer's projections as
    modules, so updates of WavLM's queries and values take part; transformers' WavLM attention reads their weights
    instead, which leaves such updates without effect or gradient.

    Raises:
        ConfigError: `peft` is not installed.
    """

    def __init__(self, backbone: Backbone, config: LoraConfig) -> None:
        super().__init__(backbone)
        try:
            peft = import_after_torchaudio("peft")
        except ModuleNotFoundError as error:
            wanted = "LoRA needs peft: install it with pip install elp-foundry[peft]"
            raise ConfigError("LoraConfig", [wanted]) from error
        self.touched = tuple(range(backbone.layer_count))
        own = {id(parameter): parameter for parameter in backbone.layers.parameters()}
        # with the parameters as the copy's memo they are shared, so that updates of them need no second weights
        copies = without_dropout(copy.deepcopy(backbone.layers, own))
        self.layers = nn.ModuleDict({str(number): layer for number, layer in enumerate(copies)})
        names = FAMILIES[backbone.family].linears
        targets = [names.get(target, target) for target in config.targets]
        chosen = peft.LoraConfig(
            r=config.rank, lora_alpha=config.alpha, target_modules=targets, lora_dropout=config.dropout
        )
        peft.inject_adapter_in_model(chosen, self.layers)
        for name, parameter in self.layers.named_parameters():
            if ".lora_B." in name:
                nn.init.normal_(parameter, std=LORA_STD)

    def network(self, backbone: Backbone) -> Backbone:
        """Return the copies in place of the layers."""
        return private_network(backbone, self.layers)


class WeightedSum(Adapters):
    """Softmax weights over the encoder's input and every layer's output (SUPERB, arXiv 2105.01051); no projection."""

    def __init__(self, backbone: Backbone, _: WeightedSumConfig) -> None:
        super().__init__(backbone)
        self.read = tuple(range(backbone.layer_count + 1))
        self.l = nn.ParameterDict({"weights": nn.Parameter(torch.zeros(len(self.read)))})

    def gather(self, states: Iterator[torch.Tensor], network: Backbone) -> torch.Tensor:
        """Return the sum, [B, F, D]."""
        del network
        first, *others = self.l["weights"].softmax(0)
        total: torch.Tensor = first * next(states)
        for weight, state in zip(others, states, strict=True):
            total = torch.addcmul(total, weight, state)
        return total


NETWORKS: dict[type[MethodConfig], Callable[[Backbone, Any], Adapters]] = {
    ElpConfig: ElpAdapters,
    FullConfig: FullNetwork,
    WeightedSumConfig: WeightedSum,
    TopLayersConfig: TopNetwork,
    LoraConfig: LoraNetwork,
    BottleneckConfig: BottleneckNetwork,
}
"""By the class of a method's configuration. They read the backbone and never change it."""
