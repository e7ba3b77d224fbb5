"""What each method puts into the network; the shared backbone never changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from elp_core.adapters import ElpAdapters
from elp_core.adapters.elp_adapters import learning_copy
from elp_core.backbones import Adapters, Backbone
from elp_core.config import ElpConfig
from elp_core.errors import ConfigError
from elp_core.methods.config import (
    BottleneckConfig,
    ConvConfig,
    DeepPromptConfig,
    FullConfig,
    LoraConfig,
    MethodConfig,
    NormsConfig,
    ParallelConfig,
    TopLayersConfig,
    WeightedSumConfig,
)
from elp_core.methods.inserted_parts import (
    BottleneckNetwork,
    ConvNetwork,
    NormsNetwork,
    ParallelNetwork,
    PromptedNetwork,
    sum_of_states,
)
from elp_core.methods.low_rank import LoraNetwork
from elp_core.methods.replaced_layers import private_network
from elp_core.private_names import shallow_copy


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


class WeightedSum(Adapters):
    """Softmax weights over the encoder's input and every layer's output (SUPERB, arXiv 2105.01051); no projection."""

    def __init__(self, backbone: Backbone, _: WeightedSumConfig) -> None:
        super().__init__(backbone)
        self.read = tuple(range(backbone.layer_count + 1))
        self.l = nn.ParameterDict({"weights": nn.Parameter(torch.zeros(len(self.read)))})

    def keep_apart(self) -> None:
        """Give the head every state; their weighted sum is then the head's."""
        super().keep_apart()
        self.l = nn.ParameterDict()

    def gather(self, states: Iterator[torch.Tensor], network: Backbone) -> torch.Tensor:
        """Return the sum, [B, F, D]; or every state."""
        return super().gather(states, network) if self.apart else sum_of_states(self.l["weights"], states)


NETWORKS: dict[type[MethodConfig], Callable[[Backbone, Any], Adapters]] = {
    ElpConfig: ElpAdapters,
    FullConfig: FullNetwork,
    WeightedSumConfig: WeightedSum,
    TopLayersConfig: TopNetwork,
    LoraConfig: LoraNetwork,
    BottleneckConfig: BottleneckNetwork,
    NormsConfig: NormsNetwork,
    ConvConfig: ConvNetwork,
    DeepPromptConfig: PromptedNetwork,
    ParallelConfig: ParallelNetwork,
}
"""By the class of a method's configuration. They read the backbone and never change it."""
