"""The frozen backbone with a learned weighted sum of its states, as in SUPERB (arXiv 2105.01051)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from elp_core.backbones import Backbone
from elp_core.methods.base import PlainNetwork


class WeightedSum(PlainNetwork):
    """Softmax weights over the encoder's input and every layer's output; no projection, no norm."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.read = tuple(range(backbone.layer_count + 1))
        self.l = nn.ParameterDict({"weights": nn.Parameter(torch.zeros(len(self.read)))})

    def gather(self, states: Iterator[torch.Tensor], network: Backbone) -> torch.Tensor:
        """The sum, [B, F, D]."""
        del network
        shares = self.l["weights"].softmax(0)
        total: torch.Tensor | None = None
        for share, state in zip(shares, states, strict=True):
            total = share * state if total is None else torch.addcmul(total, share, state)
        if total is None:
            raise ValueError("no states to sum")
        return total
