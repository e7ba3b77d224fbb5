"""Full fine-tuning and training of the last layers, on copies: the shared backbone never changes."""

from __future__ import annotations

from torch import nn

from elp_core.backbones import Backbone, private_network
from elp_core.backbones.private import learning_copy
from elp_core.errors import ConfigError
from elp_core.methods.base import PlainNetwork
from elp_core.methods.config import TopLayersConfig


class FullNetwork(PlainNetwork):
    """Copies of the feature projection and the whole encoder."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.feature_projection = learning_copy(backbone.feature_projection)
        self.encoder = learning_copy(backbone.encoder)
        self.touched = tuple(range(backbone.layer_count))

    def train(self, mode: bool = True) -> FullNetwork:
        """The copies stay in eval mode, as the backbone does: a batch norm's statistics would let padding in."""
        super().train(mode)
        self.feature_projection.eval()
        self.encoder.eval()
        return self

    @property
    def learns_input(self) -> bool:
        """The feature projection and the position embedding learn."""
        return True

    def network(self, backbone: Backbone) -> Backbone:
        """The copies over the backbone's CNN."""
        parts = {name: part for name, part in self.encoder.named_children() if name != "layers"}
        return private_network(
            backbone, dict(enumerate(self.encoder.get_submodule("layers").children())), parts, self.feature_projection
        )


class TopNetwork(PlainNetwork):
    """Copies of the last layers, and of the norm after them where the backbone has one there (pre-norm).

    Raises:
        ConfigError: where the backbone has fewer layers.
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
        """The copies on top of the backbone's other layers."""
        norm = {} if self.norm is None else {"layer_norm": self.norm}
        return private_network(backbone, {int(number): layer for number, layer in self.layers.items()}, norm)
