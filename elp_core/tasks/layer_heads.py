"""Poolings that weigh the layers of a network themselves: all its states to one vector a clip.

B clips, F frames, L layers, D dimensions of a layer's frame; frames are [B, F, L * D], the layers side by side.
"""

import torch
import torch.nn.functional as F
from torch import nn

from elp_core.backbones.frames import real_frames
from elp_core.dropout import Dropout
from elp_core.errors import ConfigError
from elp_core.tasks.pooling import AttentivePooling


class FactorizedPooling(nn.Module):
    """Multi-head factorized attentive pooling, MHFA (Peng et al. 2022, arXiv 2210.01273, section 3).

    ``k = W_k Σ softmax(a)_l h_l`` and ``v = W_v Σ softmax(b)_l h_l`` have layer weights of their own. Head n weighs the
    frames by ``softmax over time (u_n · k)``, and its result is the mean of ``v`` by these weights. The biases of the
    keys and of u are left out: the softmax over time cancels them.
    """

    def __init__(self, dim: int, layers: int, heads: int, width: int) -> None:
        super().__init__()
        self._layers = layers
        self.key_weights = nn.Parameter(torch.zeros(layers))
        self.value_weights = nn.Parameter(torch.zeros(layers))
        """Before the softmax: zeros are uniform weights."""
        self.key = nn.Linear(dim // layers, width, bias=False)
        self.value = nn.Linear(dim // layers, width)
        self.score = nn.Linear(width, heads, bias=False)
        self.outputs = heads * width

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return [B, heads * width] of frames [B, F, L * D] with `counts` [B] real ones."""
        states = frames.float().reshape(*frames.shape[:2], self._layers, -1)
        keys, values = (
            project(torch.einsum("bfld,l->bfd", states, weights.softmax(0)))
            for project, weights in ((self.key, self.key_weights), (self.value, self.value_weights))
        )
        scores = self.score(keys)
        if (real := real_frames(counts, frames.shape[1])) is not None:
            scores = scores.masked_fill(~real.unsqueeze(2).to(scores.device), float("-inf"))
        return torch.einsum("bfh,bfd->bhd", scores.softmax(1), values).flatten(1)


class LayerAttentivePooling(nn.Module):
    """Layer attentive pooling, LAP (arXiv 2512.22148), and attentive statistics pooling over time.

    The dimensions of each frame's states are divided among heads. A head's gate for layer l is ``sigmoid(S(mean) +
    S(max))_l``: mean and maximum of each layer over the head's dimensions, and S a squeeze-and-excitation network over
    the layers, ``W_2 relu(W_1 ·)``. The frame is the maximum over the gated layers, not their mean, and then projected.
    Norms are layer norms of each frame; the authors' batch norms would let padding and other clips in.

    Raises:
        ConfigError: The heads do not divide the dimensions of a layer.
    """

    def __init__(self, dim: int, layers: int, heads: int, width: int, dropout: float) -> None:
        super().__init__()
        each, squeezed = dim // layers, max(1, layers // 2)
        if each % heads:
            raise ConfigError(
                "task", [f"attention_heads is {heads}, expected a divisor of {each}, a layer's dimensions"]
            )
        self._layers, self._heads = layers, heads
        self.norm = nn.LayerNorm(each)
        self.mix = nn.Linear(each, each)
        self.squeeze = nn.Parameter(nn.init.xavier_normal_(torch.empty(heads, layers, squeezed)))
        self.squeeze_bias = nn.Parameter(torch.zeros(heads, 1, squeezed))
        self.excite = nn.Parameter(nn.init.xavier_normal_(torch.empty(heads, squeezed, layers)))
        self.excite_bias = nn.Parameter(torch.zeros(heads, 1, layers))
        self.dropout = Dropout(dropout)
        self.project = nn.Linear(each, width)
        self.projected_norm = nn.LayerNorm(width)
        self.time = AttentivePooling(width)
        self.outputs = 2 * width

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return [B, 2 * width] of frames [B, F, L * D] with `counts` [B] real ones."""
        states = self.mix(self.norm(frames.float().reshape(*frames.shape[:2], self._layers, -1)))
        # [B, F, heads, D / heads, L]
        states = states.reshape(*states.shape[:3], self._heads, -1).permute(0, 1, 3, 4, 2)
        gates = self._excited(states.mean(3, keepdim=True)) + self._excited(states.amax(3, keepdim=True))
        pooled = (states * self.dropout(gates.sigmoid())).amax(4).flatten(2)
        result: torch.Tensor = self.time(self.projected_norm(self.project(pooled)), counts)
        return result

    def _excited(self, summary: torch.Tensor) -> torch.Tensor:
        """Apply squeeze and excitation over the layers to [B, F, heads, 1, L]."""
        return F.relu(summary @ self.squeeze + self.squeeze_bias) @ self.excite + self.excite_bias


class LayerAggregation(nn.Module):
    """Multi-layer feature aggregation, MFA (Zhang et al. 2022, MFA-Conformer, arXiv 2203.15249, section 2.2).

    The layers side by side, a layer norm, and attentive statistics pooling over time. Each layer keeps its own
    dimensions: nothing is summed over layers. L-adapters before it keep it small (preset ``asv-mfa``).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.time = AttentivePooling(dim)
        self.outputs = 2 * dim

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return [B, 2 * L * D] of frames [B, F, L * D] with `counts` [B] real ones."""
        result: torch.Tensor = self.time(self.norm(frames.float()), counts)
        return result


LayerPooling = FactorizedPooling | LayerAttentivePooling | LayerAggregation


def layer_pooling(head: str, dim: int, layers: int, heads: int, width: int, dropout: float) -> LayerPooling:
    """Return the pooling that a head is named by, for frames of `layers` layers, together `dim` dimensions."""
    if head == "mfa":
        return LayerAggregation(dim)
    if head == "mhfa":
        return FactorizedPooling(dim, layers, heads, width)
    return LayerAttentivePooling(dim, layers, heads, width, dropout)
