"""The frozen prefix of a network: what no adapter changes is worked out once a clip; the rest goes on from there."""

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
    """Where the untouched part of a network ends, and which of its values the rest needs."""

    states: tuple[int, ...] = ()
    """Hidden states in order: 0 is the encoder's input, i the output of layer i - 1. What still runs goes on from the
    last of them. Empty means the CNN features."""

    @property
    def name(self) -> str:
        """``cnn``, or the states' numbers such as ``h1.2.3``."""
        return "h" + ".".join(map(str, self.states)) if self.states else "cnn"


CNN = Prefix()
"""The shortest: the CNN is part of no method."""


def longest_prefix(touched: Sequence[int], read: Sequence[int]) -> Prefix:
    """The longest prefix of a network.

    Args:
        touched: layers (from 0) that compute something else than the backbone's.
        read: numbers of the states that the head's frames are made of, one or more.
    """
    end = min([*touched, max(read)])
    return Prefix(tuple(sorted({state for state in read if state < end} | {end})))


@torch.no_grad()
def prefix_values(backbone: Backbone, prefix: Prefix, features: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """What `prefix` keeps of a batch with CNN features [B, F, C]: those, or its n states [n, B, F, D].

    Layers beyond the last state are not run.
    """
    if not prefix.states:
        return features
    found = []
    for number, state in enumerate(layer_outputs(backbone, features, counts)):
        if number in prefix.states:
            found.append(state)
        if number == prefix.states[-1]:
            break
    return torch.stack(found)


def resume(
    backbone: Backbone, prefix: Prefix, values: torch.Tensor, counts: torch.Tensor, adapters: Adapters | None
) -> Iterator[torch.Tensor]:
    """Yield the states as `layer_outputs` does, the kept ones first; an empty tensor stands for a state not kept.

    Args:
        backbone: whose layers beyond the prefix run, as far as they are asked for.
        prefix: with one state or more.
        values: of `prefix_values`, [n, B, F, D].
        counts: int64 [B], real frames.
        adapters: none of them touches a layer of the prefix, and none has pseudo features.
    """
    kept = dict(zip(prefix.states, values, strict=True))
    last = prefix.states[-1]
    nothing = values.new_empty(0)
    for number in range(last + 1):
        yield kept.get(number, nothing)
    yield from run_layers(backbone, last, kept[last], block_of(backbone, kept[last], counts), adapters)
