"""Bottleneck adapters after attention and after the feed-forward block (Houlsby et al. 2019, arXiv 1902.00751)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from elp_core.adapters.attach import TunedNorms
from elp_core.backbones import Backbone
from elp_core.backbones.forward import LayerInserts
from elp_core.dropout import drop
from elp_core.methods.base import PlainNetwork
from elp_core.methods.config import BottleneckConfig

INITIAL_STD = 1e-2
"""Of both projections' weights (section 3.6 there): a fresh adapter is near the identity."""


class Bottleneck(nn.Module):
    """``h + W_up · gelu(W_down · h)`` (section 2.1 there)."""

    def __init__(self, width: int, bottleneck: int, dropout: float) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self._dropout = dropout
        for projection in (self.down, self.up):
            nn.init.normal_(projection.weight, std=INITIAL_STD)
            nn.init.zeros_(projection.bias)

    def forward(self, outcome: torch.Tensor) -> torch.Tensor:
        """A block's outcome [B, F, D] and what the adapter adds to it."""
        inner = drop(F.gelu(self.down(outcome)), self._dropout, self.training)
        added: torch.Tensor = self.up(inner)
        return outcome + added


class BottleneckNetwork(PlainNetwork):
    """Two bottlenecks in every layer, before each residual sum, and the layers' norms tuned as copies."""

    def __init__(self, backbone: Backbone, config: BottleneckConfig) -> None:
        super().__init__(backbone)
        self.touched = tuple(range(backbone.layer_count))

        def fresh() -> nn.ModuleDict:
            made = {str(n): Bottleneck(self.dim, config.bottleneck, config.dropout) for n in self.touched}
            return nn.ModuleDict(made)

        self.attention, self.ffn = fresh(), fresh()
        self.norm = nn.ModuleDict({str(n): TunedNorms(backbone.layers[n]) for n in self.touched})

    def inserts(self, layer: int) -> LayerInserts:
        """The layer's bottlenecks and norms."""
        name = str(layer)
        norms = self.norm[name]
        return LayerInserts(
            norms.get_submodule("attention"), norms.get_submodule("final"), self.ffn[name], self.attention[name]
        )
