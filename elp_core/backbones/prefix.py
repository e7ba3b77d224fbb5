"""The frozen prefix of a network: what no adapter changes is computed once a clip, and the rest continues from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from elp_core.backbones.forward import Adapters, block_of, layer_outputs, run_layers

if TYPE_CHECKING:
    from elp_core.backbones.load import Backbone


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
