"""Methods that put parts into the layers: bottlenecks, convolutions, parallel adapters, prompts, and tuned norms."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from elp_core.adapters.elp_adapters import TunedNorms
from elp_core.adapters.parts import Prompt
from elp_core.backbones import Adapters, Backbone
from elp_core.backbones.attention import Block
from elp_core.backbones.forward import LayerInserts
from elp_core.backbones.frames import blank
from elp_core.dropout import drop
from elp_core.methods.config import BottleneckConfig, ConvConfig, DeepPromptConfig, NormsConfig, ParallelConfig
from elp_core.methods.replaced_layers import private_network, sharing_copies
from elp_core.private_names import shallow_copy

BOTTLENECK_STD = 1e-2
"""Of both projections' weights (arXiv 1902.00751, section 3.6): a fresh bottleneck is near the identity."""
KERNEL, DEPTHWISE_KERNEL = 3, 5
"""Frames that the convolutions of a ConvAdapter read: those that change the width, and the one between them."""
IDLE_BIASES = ("k_proj.bias", "linear_k.bias")
"""Ends of the names of biases without a gradient: a bias of the keys adds the same to all scores of a query."""


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


class NormsNetwork(Adapters):
    """Copies of the layers that share all weights of the backbone except what learns: norms, or biases as well."""

    def __init__(self, backbone: Backbone, config: NormsConfig) -> None:
        super().__init__(backbone)
        self.touched = tuple(range(backbone.layer_count))
        idle = {id(value) for name, value in backbone.layers.named_parameters() if name.endswith(IDLE_BIASES)}

        def learns(name: str, module: nn.Module) -> bool:
            if isinstance(module, nn.LayerNorm):
                return True
            return config.biases and name == "bias" and id(getattr(module, name)) not in idle

        self.layers = sharing_copies(backbone, learns)

    def network(self, backbone: Backbone) -> Backbone:
        """Return the copies in place of the layers."""
        return private_network(backbone, self.layers)


class ConvAdapter(nn.Module):
    """``h + g · conv(dw(relu(conv(LN(h)))))`` with a squeeze-and-excitation gate ``g`` (arXiv 2303.03267, section 2.3).

    Convolutions over 3 frames change the width, one over 5 frames is between them, a channel at a time. The gate of a
    clip is ``sigmoid(W₂ relu(W₁ mean over time))`` (Hu et al. 2018). As in the authors' code the convolutions have no
    bias. Frames after a clip's end are kept at zero before each convolution and left out of the mean.
    """

    def __init__(self, width: int, config: ConvConfig) -> None:
        super().__init__()
        inner, squeezed = config.bottleneck, max(1, width // config.reduction)
        self.norm = nn.LayerNorm(width)
        self.down = nn.Conv1d(width, inner, KERNEL, padding="same", bias=False)
        self.near = nn.Conv1d(inner, inner, DEPTHWISE_KERNEL, padding="same", groups=inner, bias=False)
        self.up = nn.Conv1d(inner, width, KERNEL, padding="same", bias=False)
        self.squeeze = nn.Linear(width, squeezed, bias=False)
        self.excite = nn.Linear(squeezed, width, bias=False)
        # a fresh adapter is near the identity
        nn.init.normal_(self.up.weight, std=BOTTLENECK_STD)

    def forward(self, outcome: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        """Return a block's outcome [B, F, D] plus what the adapter adds; `real` bool [B, F], None if all frames are."""
        frames = blank(self.norm(outcome), real)
        for conv in (self.down, self.near, self.up):
            frames = blank(conv(frames.transpose(1, 2)).transpose(1, 2), real)
            if conv is self.down:
                frames = F.relu(frames)
        count = frames.shape[1] if real is None else real.sum(1, keepdim=True).clamp(min=1).to(frames)
        gate = self.excite(F.relu(self.squeeze(frames.sum(1) / count))).sigmoid()
        result: torch.Tensor = outcome + frames * gate.unsqueeze(1)
        return result


class ConvNetwork(Adapters):
    """A ConvAdapter after the feed-forward block of every layer."""

    def __init__(self, backbone: Backbone, config: ConvConfig) -> None:
        super().__init__(backbone)
        self.touched = tuple(range(backbone.layer_count))
        self.conv = nn.ModuleDict({str(n): ConvAdapter(self.dim, config) for n in self.touched})

    def enter(self, layer: int, hidden: torch.Tensor, block: Block) -> tuple[torch.Tensor, LayerInserts]:
        """Return the input [B, F, D] as it is, and the layer's adapter, which gets the real frames."""
        adapter, real = self.conv[str(layer)], None if block.mask is None else block.mask[:, 0, 0]
        return hidden, LayerInserts(after_ffn=lambda outcome: adapter(outcome, real))


class PromptedNetwork(Adapters):
    """Prompts in front of the frames of every layer; their outputs are dropped before the head."""

    learns_input = True

    def __init__(self, backbone: Backbone, config: DeepPromptConfig) -> None:
        super().__init__(backbone)
        self.touched = tuple(range(backbone.layer_count))
        self.p = Prompt(config.count, backbone.feature_size, "prefix")
        prompts = {str(n): nn.Parameter(torch.randn(config.count, self.dim)) for n in self.touched[1:]}
        self.prompts = nn.ParameterDict(prompts)

    def join(self, features: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the first layer's prompts in front of the features [B, F, C]."""
        return self.p.join(features, counts)

    def drop(self, frames: torch.Tensor) -> torch.Tensor:
        """Remove the prompts' frames from [B, F + n, D]."""
        return self.p.drop(frames)

    def enter(self, layer: int, hidden: torch.Tensor, block: Block) -> tuple[torch.Tensor, LayerInserts]:
        """Replace the outputs of the previous layer's prompts in [B, F + n, D] by the prompts of this layer."""
        if layer:
            own = self.prompts[str(layer)].to(hidden.dtype).expand(len(hidden), -1, -1)
            hidden = torch.cat([own, hidden[:, self.p.count :]], dim=1)
        return hidden, LayerInserts()


class ParallelAdapter(nn.Module):
    """``W_up · gelu(W_down · h)``, to be added to what is parallel to it."""

    def __init__(self, width: int, bottleneck: int, dropout: float) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self._dropout = dropout
        nn.init.normal_(self.up.weight, std=BOTTLENECK_STD)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return what is added, [B, F, D] of [B, F, D]."""
        added: torch.Tensor = self.up(drop(F.gelu(self.down(hidden)), self._dropout, self.training))
        return added


class SumOfBoth(nn.Module):
    """A frozen block and an adapter on the same input."""

    def __init__(self, block: nn.Module, adapter: nn.Module) -> None:
        super().__init__()
        self.block, self.adapter = block, adapter

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the sum of their outputs, [B, F, D] of [B, F, D]."""
        result: torch.Tensor = self.block(hidden) + self.adapter(hidden)
        return result


class ParallelNetwork(Adapters):
    """Adapters parallel to the feed-forward blocks, and others on every layer's output before a weighted sum."""

    def __init__(self, backbone: Backbone, config: ParallelConfig) -> None:
        super().__init__(backbone)
        count = backbone.layer_count
        self.touched, self.read = tuple(range(count)), tuple(range(1, count + 1))

        def fresh(bottleneck: int) -> nn.ModuleDict:
            made = {str(n): ParallelAdapter(self.dim, bottleneck, config.dropout) for n in range(count)}
            return nn.ModuleDict(made)

        self.inner, self.inter = fresh(config.inner), fresh(config.inter)
        self.l = nn.ParameterDict({"weights": nn.Parameter(torch.zeros(count))})

    def keep_apart(self) -> None:
        """Give the head the adapted outputs side by side; their weighted sum is then the head's."""
        self.apart, self.dim, self.l = True, len(self.read) * self.dim, nn.ParameterDict()

    def network(self, backbone: Backbone) -> Backbone:
        """Return the layers with the inner adapters next to their (last) feed-forward blocks."""
        own = nn.ModuleDict()
        for number, layer in enumerate(backbone.layers):
            own[str(number)] = copied = shallow_copy(layer)
            name = "feed_forward" if hasattr(layer, "feed_forward") else "ffn2"  # a Conformer has two
            setattr(copied, name, SumOfBoth(getattr(layer, name), self.inner[str(number)]))
        return private_network(backbone, own)

    def gather(self, states: Iterator[torch.Tensor], network: Backbone) -> torch.Tensor:
        """Return the weighted sum of the adapted outputs, or each of them; [B, F, dim]."""
        next(states)  # the encoder's input
        adapted = (state + adapter(state) for state, adapter in zip(states, self.inter.values(), strict=True))
        if self.apart:
            return torch.cat(list(adapted), dim=2)
        return sum_of_states(self.l["weights"], adapted)


def sum_of_states(weights: torch.Tensor, states: Iterator[torch.Tensor]) -> torch.Tensor:
    """Return the sum of states [B, F, D] by the softmax of their weights, one for each."""
    first, *others = weights.softmax(0)
    total: torch.Tensor = first * next(states)
    for weight, state in zip(others, states, strict=True):
        total = torch.addcmul(total, weight, state)
    return total
