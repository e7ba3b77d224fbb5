"""The three kinds of adapter: E, L and P (arXiv 2407.21066, section III)."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from elp_core.config import Activation, PromptPlace
from elp_core.dropout import drop

INITIAL_GAIN = 1e-2
"""Gain of a fresh E-adapter's norm.

A norm undoes any scaling before it, so a small `up` would not make a fresh adapter near the identity; its gain does. A
fresh adapter changes each frame of D dimensions by no more than ``INITIAL_GAIN * sqrt(D)`` in Euclidean norm. The gain
is not zero, so that `down` and `up` have a gradient from the first step on.
"""


_ACTIVATIONS: dict[Activation, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}


class EncoderAdapter(nn.Module):
    """E-adapter, after a layer's feed-forward block: ``LN(W_up · act(W_down · f)) + f`` (arXiv 2212.02780, 3.1)."""

    def __init__(self, width: int, bottleneck: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.norm = nn.LayerNorm(width)
        nn.init.constant_(self.norm.weight, INITIAL_GAIN)
        self._activate = _ACTIVATIONS[activation]()
        self._dropout = dropout

    def forward(self, outcome: torch.Tensor) -> torch.Tensor:
        """Return the feed-forward block's outcome [B, F, D] plus what the adapter adds to it."""
        inner = drop(self._activate(self.down(outcome)), self._dropout, self.training)
        result: torch.Tensor = self.norm(self.up(inner)).add_(outcome)
        return result


class LayerAdapter(nn.Module):
    """L-adapter, on a layer's output: ``LN(act(W_down · h))`` (arXiv 2212.02780, section 3.2)."""

    def __init__(self, width: int, projected: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.down = nn.Linear(width, projected)
        self.norm = nn.LayerNorm(projected)
        self._activate = _ACTIVATIONS[activation]()
        self._dropout = dropout

    def forward(self, hidden: torch.Tensor, share: torch.Tensor | None = None) -> torch.Tensor:
        """Project a layer's output [B, F, D] to [B, F, width], times `share` [] if it is given."""
        inner = drop(self._activate(self.down(hidden)), self._dropout, self.training)
        if share is None:
            result: torch.Tensor = self.norm(inner)
            return result
        norm = self.norm
        # the norm's own gain and bias are the cheapest place to scale its output
        return F.layer_norm(inner, norm.normalized_shape, share * norm.weight, share * norm.bias, norm.eps)


class LayerMix(nn.Module):
    """One L-adapter for each chosen layer, and the softmax weights of their sum; children are named by layer."""

    def __init__(
        self, layers: Sequence[int], width: int, projected: int, activation: Activation, dropout: float
    ) -> None:
        super().__init__()
        self.layers = tuple(sorted(layers))
        self.last = self.layers[-1]
        """The deepest layer that takes part."""
        for layer in self.layers:
            self.add_module(str(layer), LayerAdapter(width, projected, activation, dropout))
        self.weights = nn.Parameter(torch.zeros(len(self.layers)))
        """Before the softmax: zeros are uniform weights."""

    def forward(self, outputs: Iterable[torch.Tensor]) -> torch.Tensor:
        """Sum the encoder layers' outputs [B, F, D], in their order, to [B, F, width]; none after the last is read."""
        shares = dict(zip(self.layers, self.weights.softmax(0), strict=True))
        total: torch.Tensor | None = None
        for layer, hidden in enumerate(outputs):
            if layer in shares:
                term = self.get_submodule(str(layer))(hidden, shares[layer])
                # in place: the gradient of a sum needs none of its terms
                total = term if total is None else total.add_(term)
            if layer == self.last:
                break
        assert total is not None
        return total

    def keep_apart(self) -> None:
        """Remove the weights of the sum; then `side_by_side` takes the place of `forward`."""
        del self.weights

    def side_by_side(self, outputs: Iterable[torch.Tensor]) -> torch.Tensor:
        """Join the projections of the encoder layers' outputs [B, F, D] to [B, F, layers * width]; none is weighted."""
        chosen = zip(range(self.last + 1), outputs, strict=False)
        return torch.cat([self.get_submodule(str(n))(hidden) for n, hidden in chosen if n in self.layers], dim=2)


class Prompt(nn.Module):
    """P-adapter: `count` pseudo features in the CNN's feature space, the same for every clip.

    They are joined before the feature projection: in front of a clip's frames (prefix), or directly after its last real
    frame (suffix), where the padding of a longer batch would begin. The encoder treats them as frames; their outputs
    are dropped before the head.
    """

    def __init__(self, count: int, channels: int, place: PromptPlace) -> None:
        super().__init__()
        self.count = count
        self.place = place
        self.features = nn.Parameter(torch.randn(count, channels))
        """Of unit variance, like real features after the norm at the head of the feature projection."""

    def join(self, features: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Extend features [B, F, C] with `counts` [B] real ones to [B, F + n, C] and ``counts + n``."""
        batch, _, channels = features.shape
        pseudo = self.features.to(features.dtype).expand(batch, -1, -1)
        if self.place == "prefix":
            return torch.cat([pseudo, features], dim=1), counts + self.count
        room = torch.cat([features, features.new_zeros(batch, self.count, channels)], dim=1)
        places = counts.to(features.device).unsqueeze(1) + torch.arange(self.count, device=features.device)
        return room.scatter(1, places.unsqueeze(2).expand(-1, -1, channels), pseudo), counts + self.count

    def drop(self, frames: torch.Tensor) -> torch.Tensor:
        """Remove the pseudo features from frames [B, F + n, D]; a suffix leaves some beyond the counts."""
        return frames[:, self.count :] if self.place == "prefix" else frames[:, : -self.count]
