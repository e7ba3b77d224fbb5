"""The encoder's forward pass over a backbone's frozen submodules, with adapters as an argument.

Nothing of the backbone is subclassed, hooked or changed. Without adapters the result is transformers' own, with one
exception: frames after a clip's end are kept at zero wherever a convolution could read them, so that padding never
changes a result (in transformers padding leaks through HuBERT's batch norm and data2vec's stacked convolutions).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from elp_core.backbones.attention import Block, attend, position_bias
from elp_core.backbones.frames import real_frames
from elp_core.types import Hidden

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


class Adapters(Protocol):
    """What the forward pass needs from adapters. B clips, F frames, C feature channels, D dimensions."""

    @property
    def learns_input(self) -> bool:
        """Return whether something before the layers learns: pseudo features, or the projection in full fine-tuning."""

    def join(self, features: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add pseudo features to [B, F, C] and to the counts [B]."""

    def drop(self, frames: torch.Tensor) -> torch.Tensor:
        """Remove the pseudo features' frames from [B, F + n, D]."""

    def inserts(self, layer: int) -> LayerInserts:
        """Return what goes into encoder layer `layer`, from 0."""


def encode(
    backbone: Backbone, features: torch.Tensor, counts: torch.Tensor, adapters: Adapters | None = None
) -> Hidden:
    """Return every layer's output for CNN features [B, F, C] with `counts` [B] real frames.

    The pseudo features' frames are dropped; frames after the counts have no meaning. Outputs of pre-norm layers are
    before the encoder's final norm, which `Backbone.finish` applies.
    """
    states = layer_outputs(backbone, features, counts, adapters)
    return Hidden(tuple(states if adapters is None else map(adapters.drop, states)), counts)


def layer_outputs(
    backbone: Backbone, features: torch.Tensor, counts: torch.Tensor, adapters: Adapters | None = None
) -> Iterator[torch.Tensor]:
    """Yield the encoder's input, then each layer's output; nothing is computed before it is requested.

    They are [B, F + n, D]: `adapters.drop` removes the pseudo features' frames from what is made of them.
    """
    with torch.set_grad_enabled(torch.is_grad_enabled() and adapters is not None and adapters.learns_input):
        if adapters is not None:
            features, counts = adapters.join(features, counts)
        hidden = backbone.embed(backbone.project(features), counts)
    # with gradients, because a private copy of the first layer may learn the position bias
    block = block_of(backbone, hidden, counts)
    yield hidden
    yield from run_layers(backbone, 0, hidden, block, adapters)


def run_layers(
    backbone: Backbone, first: int, hidden: torch.Tensor, block: Block, adapters: Adapters | None = None
) -> Iterator[torch.Tensor]:
    """Yield the outputs of layer `first` and those after it.

    Args:
        backbone: The network whose layers run.
        first: Number of the first layer to run, from 0.
        hidden: Its input [B, F, D], with the pseudo features' frames.
        block: Result of `block_of`, pseudo features counted.
        adapters: As in `layer_outputs`.
    """
    for number in range(first, backbone.layer_count):
        parts = LayerInserts() if adapters is None else adapters.inserts(number)
        hidden = run_layer(backbone, number, hidden, (block,), parts)
        yield hidden


def block_of(backbone: Backbone, hidden: torch.Tensor, counts: torch.Tensor) -> Block:
    """Return what attention needs to know about frames [B, F, D] with `counts` [B] real ones."""
    clips, frames, _ = hidden.shape
    real = real_frames(counts, frames)
    mask = None if real is None else real[:, None, None, :].to(hidden.device)
    return Block(clips, frames, mask, position_bias(backbone.layers[0].attention, frames))


def run_layer(
    backbone: Backbone, number: int, hidden: torch.Tensor, blocks: Sequence[Block], parts: LayerInserts
) -> torch.Tensor:
    """Run encoder layer `number`, from 0, on the frames of `blocks`: [..., D], as in `attend`."""
    step = _pre_norm if backbone.pre_norm else _post_norm
    return step(backbone.layers[number], hidden, blocks, parts)


def _post_norm(layer: Any, hidden: torch.Tensor, blocks: Sequence[Block], parts: LayerInserts) -> torch.Tensor:
    """Run a base-style layer: ``a = LN(h + attention(h)); h = LN(a + E(ffn(a)))``."""
    outcome = _apply(parts.after_attention, attend(layer.attention, hidden, blocks))
    attended = _norm(parts.attention_norm, layer.layer_norm)(hidden + outcome)
    outcome = _apply(parts.after_ffn, layer.feed_forward(attended))
    return _norm(parts.final_norm, layer.final_layer_norm)(attended + outcome)


def _pre_norm(layer: Any, hidden: torch.Tensor, blocks: Sequence[Block], parts: LayerInserts) -> torch.Tensor:
    """Run a large-style layer: ``a = h + attention(LN(h)); h = a + E(ffn(LN(a)))``."""
    outcome = attend(layer.attention, _norm(parts.attention_norm, layer.layer_norm)(hidden), blocks)
    hidden = hidden + _apply(parts.after_attention, outcome)
    outcome = layer.feed_forward(_norm(parts.final_norm, layer.final_layer_norm)(hidden))
    hidden = hidden + _apply(parts.after_ffn, outcome)
    own = getattr(layer, "adapter_layer", None)  # language adapters, which some checkpoints contain
    return hidden if own is None else hidden + own(hidden)


def _apply(insert: Transform | None, outcome: torch.Tensor) -> torch.Tensor:
    return outcome if insert is None else insert(outcome)


def _norm(tuned: Transform | None, own: nn.Module) -> Transform:
    return own if tuned is None else tuned
