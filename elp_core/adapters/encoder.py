"""E-adapter: a bottleneck after an encoder layer's feed-forward block."""

from __future__ import annotations

import torch
from torch import nn

from elp_core.config import Activation
from elp_core.dropout import drop

INITIAL_GAIN = 1e-2
"""Gain of a fresh E-adapter's norm.

A norm undoes any scaling before it, so a small `up` would not make a fresh adapter near identity: its gain does. A
fresh adapter changes each frame of D dimensions by no more than ``INITIAL_GAIN * sqrt(D)`` in Euclidean norm. It is
not zero, so that `down` and `up` have a gradient from the first step on.
"""


class EncoderAdapter(nn.Module):
    """``LN(W_up · act(W_down · f)) + f`` (arXiv 2212.02780, section 3.1; arXiv 2407.21066, section III)."""

    def __init__(self, width: int, bottleneck: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.norm = nn.LayerNorm(width)
        nn.init.constant_(self.norm.weight, INITIAL_GAIN)
        self._activate = activate(activation)
        self._dropout = dropout

    def forward(self, outcome: torch.Tensor) -> torch.Tensor:
        """The feed-forward block's outcome [B, F, D] and what the adapter adds to it, [B, F, D]."""
        inner = drop(self._activate(self.down(outcome)), self._dropout, self.training)
        result: torch.Tensor = self.norm(self.up(inner)).add_(outcome)
        return result


def activate(name: Activation) -> nn.Module:
    """The activation of a configuration."""
    return nn.GELU() if name == "gelu" else nn.ReLU()
