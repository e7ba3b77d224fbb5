"""L-adapter: a projection of each layer's output and their weighted sum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from elp_core.adapters.encoder import activate
from elp_core.config import Activation
from elp_core.dropout import drop


class LayerAdapter(nn.Module):
    """``LN(act(W_down · h))`` (arXiv 2212.02780, section 3.2; arXiv 2407.21066, section III)."""

    def __init__(self, width: int, projected: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.down = nn.Linear(width, projected)
        self.norm = nn.LayerNorm(projected)
        self._activate = activate(activation)
        self._dropout = dropout

    def forward(self, hidden: torch.Tensor, share: torch.Tensor | None = None) -> torch.Tensor:
        """A layer's output [B, F, D] to [B, F, width], times `share` [] where there is one."""
        inner = drop(self._activate(self.down(hidden)), self._dropout, self.training)
        norm = self.norm
        if share is None:
            result: torch.Tensor = norm(inner)
            return result
        # the norm's own gain and bias are the cheapest place to scale its output
        return F.layer_norm(inner, norm.normalized_shape, share * norm.weight, share * norm.bias, norm.eps)


class LayerMix(nn.Module):
    """One L-adapter for each chosen layer, and the softmax weights of their sum; children are named by layer."""

    def __init__(
        self, layers: Sequence[int], width: int, projected: int, activation: Activation, dropout: float
    ) -> None:
        super().__init__()
        self.layers = tuple(sorted(layers))
        for layer in self.layers:
            self.add_module(str(layer), LayerAdapter(width, projected, activation, dropout))
        self.weights = nn.Parameter(torch.zeros(len(self.layers)))
        """Before the softmax: zeros are uniform weights."""

    @property
    def last(self) -> int:
        """The deepest layer that takes part."""
        return self.layers[-1]

    def forward(self, outputs: Iterable[torch.Tensor]) -> torch.Tensor:
        """Sum over the chosen layers, [B, F, width].

        Args:
            outputs: each encoder layer's output [B, F, D] in order; taken no further than the last chosen layer.
        """
        shares = dict(zip(self.layers, self.weights.softmax(0).unbind(), strict=True))
        total: torch.Tensor | None = None
        for layer, hidden in enumerate(outputs):
            if layer in shares:
                part = self.get_submodule(str(layer))(hidden, shares[layer])
                total = part if total is None else total.add_(part)
            if layer == self.last:
                break
        if total is None:
            raise ValueError("no layer output to sum")
        return total
