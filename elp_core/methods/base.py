"""What a method leaves as it is unless it says otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from elp_core.backbones import Backbone
from elp_core.backbones.forward import LayerInserts


class PlainNetwork(nn.Module):
    """The backbone's own network, its last output for the head. Parameters of a method that learn are the bundle's."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.dim = backbone.hidden_size
        self.touched: tuple[int, ...] = ()
        self.read: tuple[int, ...] = (backbone.layer_count,)

    @property
    def learns_input(self) -> bool:
        """Whether what comes before the layers learns."""
        return False

    def join(self, features: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [B, F, C] and counts [B] as they are: there are no pseudo features."""
        return features, counts

    def drop(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames [B, F, D] as they are: there are no pseudo features."""
        return frames

    def inserts(self, layer: int) -> LayerInserts:
        """Nothing."""
        del layer
        return LayerInserts()

    def network(self, backbone: Backbone) -> Backbone:
        """What runs in place of `backbone`."""
        return backbone

    def gather(self, states: Iterator[torch.Tensor], network: Backbone) -> torch.Tensor:
        """The last of the states [B, F, D], as the network hands it out."""
        *_, last = states
        return network.finish(last)
