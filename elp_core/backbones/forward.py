"""The encoder's forward pass over a backbone's frozen submodules, with adapters as an argument.

The frozen prefix of a network, which no adapter changes, can be computed once a clip, and the rest continues from it.

Nothing of the backbone is subclassed, hooked or changed. Without adapters the result is transformers' own, with one
exception: frames after a clip's end are kept at zero wherever a convolution could read them, so that padding never
changes a result (in transformers padding leaks through HuBERT's batch norm and data2vec's stacked convolutions).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from elp_core.backbones.attention import Block, attend, position_bias
from elp_core.backbones.conformer import attention_of, convolve_within, norms_of
from elp_core.backbones.frames import real_frames

if TYPE_CHECKING:
    from elp_core.backbones.load import Backbone

Transform = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class LayerInserts:
    """What adapters put into one encoder layer; None keeps the backbone's own."""

    attention_norm: Transform | None = None
    final_norm: Transform | None = None
    after_ffn: Transform | None = None
    after_attention: Transform | None = None


class Adapters(nn.Module):
    """What a method puts into a network: here nothing, in subclasses the parameters that learn.

    Tensors in a bundle have the names of the children. B clips, F frames, C feature channels, D dimensions.
    """

    learns_input = False
    """Whether something before the layers learns: pseudo features, or the projection in full fine-tuning."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.dim = backbone.hidden_size
        """Dimensions of a frame that the head processes."""
        self.touched: tuple[int, ...] = ()
        """Layers that compute something else than the backbone's."""
        self.read: tuple[int, ...] = (backbone.layer_count,)
        """States (0 is the encoder's input) that the head's frames are made of."""
        self.apart = False
        """Whether the head gets these states side by side, each of `dim` / their number dimensions."""

    def keep_apart(self) -> None:
        """Give a head that weighs the layers itself every state side by side; called once, before the training."""
        self.apart, self.read = True, tuple(range(max(self.read) + 1))
        self.dim = len(self.read) * self.dim

    def join(self, features: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add pseudo features to [B, F, C] and to the counts [B]."""
        return features, counts

    def drop(self, frames: torch.Tensor) -> torch.Tensor:
        """Remove the pseudo features' frames from [B, F + n, D]."""
        return frames

    def inserts(self, layer: int) -> LayerInserts:
        """Return what goes into encoder layer `layer`, from 0."""
        return LayerInserts()

    def enter(self, layer: int, hidden: torch.Tensor, block: Block) -> tuple[torch.Tensor, LayerInserts]:
        """Return the input of encoder layer `layer` for the previous output [B, F + n, D], and what goes into it.

        Methods override it if they change the input, or if their parts must know the real frames of `block`.
        """
        return hidden, self.inserts(layer)

    def network(self, backbone: Backbone) -> Backbone:
        """Return the network that runs in place of `backbone`."""
        return backbone

    def gather(self, states: Iterator[torch.Tensor], network: Backbone) -> torch.Tensor:
        """Return frames for the head [B, F, dim] from the states [B, F + n, D], the encoder's input first."""
        if self.apart:
            *before, last = (self.drop(state) for state in states)
            return torch.cat([*before, network.finish(last)], dim=2)
        *_, last = states
        return network.finish(self.drop(last))


def layer_outputs(
    backbone: Backbone, features: torch.Tensor, counts: torch.Tensor, adapters: Adapters
) -> Iterator[torch.Tensor]:
    """Yield the encoder's input, then each layer's output [B, F + n, D], for features [B, F, C] and real frames [B].

    Nothing is computed before it is requested. `adapters.drop` removes the pseudo features' frames, frames after the
    counts have no meaning, and outputs of pre-norm layers are before the final norm, which `Backbone.finish` applies.
    """
    with torch.set_grad_enabled(torch.is_grad_enabled() and adapters.learns_input):
        features, counts = adapters.join(features, counts)
        hidden = backbone.embed(backbone.project(features), counts)
    # with gradients, because a private copy of the first layer may learn the position bias
    block = block_of(backbone, hidden, counts)
    yield hidden
    yield from run_layers(backbone, 0, hidden, block, adapters)


def run_layers(
    backbone: Backbone, first: int, hidden: torch.Tensor, block: Block, adapters: Adapters
) -> Iterator[torch.Tensor]:
    """Yield the outputs of layer `first` and those after it from its input [B, F, D], pseudo features included."""
    for number in range(first, backbone.layer_count):
        hidden, parts = adapters.enter(number, hidden, block)
        hidden = run_layer(backbone, number, hidden, (block,), parts)
        yield hidden


def block_of(backbone: Backbone, hidden: torch.Tensor, counts: torch.Tensor) -> Block:
    """Return what attention needs to know about frames [B, F, D] with `counts` [B] real ones."""
    clips, frames, _ = hidden.shape
    real = real_frames(counts, frames)
    mask = None if real is None else real[:, None, None, :].to(hidden.device)
    return Block(clips, frames, mask, position_bias(attention_of(backbone.layers[0]), frames))


def run_layer(
    backbone: Backbone, number: int, hidden: torch.Tensor, blocks: Sequence[Block], parts: LayerInserts
) -> torch.Tensor:
    """Run encoder layer `number`, from 0, on the frames of `blocks`: [..., D], as in `attend`."""
    layer: Any = backbone.layers[number]
    own_norms = norms_of(layer)
    attention_norm: Transform = parts.attention_norm or own_norms[0]
    final_norm: Transform = parts.final_norm or own_norms[1]
    after_attention, after_ffn = parts.after_attention or _same, parts.after_ffn or _same
    if backbone.conformer:  # h += ffn1(LN(h)) / 2, attention(LN(h)), convolution(LN(h)), E(ffn2(LN(h))) / 2; LN(h)
        hidden = hidden + 0.5 * layer.ffn1(layer.ffn1_layer_norm(hidden))
        hidden = hidden + after_attention(attend(layer.self_attn, attention_norm(hidden), blocks))
        hidden = hidden + convolve_within(layer.conv_module, hidden, blocks)
        return final_norm(hidden + 0.5 * after_ffn(layer.ffn2(layer.ffn2_layer_norm(hidden))))
    if not backbone.pre_norm:  # base style: a = LN(h + attention(h)); h = LN(a + E(ffn(a)))
        attended = attention_norm(hidden + after_attention(attend(layer.attention, hidden, blocks)))
        return final_norm(attended + after_ffn(layer.feed_forward(attended)))
    # large style: a = h + attention(LN(h)); h = a + E(ffn(LN(a)))
    hidden = hidden + after_attention(attend(layer.attention, attention_norm(hidden), blocks))
    hidden = hidden + after_ffn(layer.feed_forward(final_norm(hidden)))
    own = getattr(layer, "adapter_layer", None)  # language adapters, which some checkpoints contain
    return hidden if own is None else hidden + own(hidden)


def _same(outcome: torch.Tensor) -> torch.Tensor:
    return outcome


@dataclass(frozen=True)
class Prefix:
    """The end of the untouched part of a network, and the values of it that the rest needs."""

    states: tuple[int, ...] = ()
    """Hidden states in order: 0 is the encoder's input, i the output of layer i - 1. The rest of the network continues
    from the last of them. Empty means the CNN features."""

    @property
    def name(self) -> str:
        """Return ``cnn``, or the states' numbers such as ``h1.2.3``."""
        return "h" + ".".join(map(str, self.states)) if self.states else "cnn"


CNN = Prefix()
"""The shortest prefix: no method changes the CNN."""


def longest_prefix(touched: Sequence[int], read: Sequence[int]) -> Prefix:
    """Return the longest prefix of a network, from `Adapters.touched` and `Adapters.read`."""
    end = min([*touched, max(read)])
    return Prefix(tuple(sorted({state for state in read if state < end} | {end})))


@torch.no_grad()
def prefix_values(backbone: Backbone, prefix: Prefix, features: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return what `prefix` keeps of a batch with CNN features [B, F, C]: those, or its n states [n, B, F, D].

    Layers after the last state do not run.
    """
    if not prefix.states:
        return features
    found = []
    for number, state in enumerate(layer_outputs(backbone, features, counts, Adapters(backbone))):
        if number in prefix.states:
            found.append(state)
        if number == prefix.states[-1]:
            break
    return torch.stack(found)


def resume(
    backbone: Backbone, prefix: Prefix, values: torch.Tensor, counts: torch.Tensor, adapters: Adapters
) -> Iterator[torch.Tensor]:
    """Yield the states like `layer_outputs`, the kept ones first; states that were not kept are empty tensors.

    `values` [n, B, F, D] are the result of `prefix_values` for a prefix with a state, `counts` int64 [B] real frames.
    The adapters touch no layer of the prefix and have no pseudo features.
    """
    kept = dict(zip(prefix.states, values, strict=True))
    last = prefix.states[-1]
    nothing = values.new_empty(0)
    for number in range(last + 1):
        yield kept.get(number, nothing)
    yield from run_layers(backbone, last, kept[last], block_of(backbone, kept[last], counts), adapters)
