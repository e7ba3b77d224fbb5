"""All adapters of one bundle, made to fit one backbone, and the place of each in its forward pass."""

import copy
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import nn

from elp_core.adapters.parts import EncoderAdapter, LayerMix, Prompt
from elp_core.backbones import Adapters, Backbone
from elp_core.backbones.conformer import norms_of
from elp_core.backbones.forward import LayerInserts
from elp_core.config import ElpConfig
from elp_core.errors import ConfigError

M = TypeVar("M", bound=nn.Module)


def learning_copy(module: M) -> M:
    """Return a copy whose parameters all learn, without dropout (the shared backbone has none either)."""
    return without_dropout(copy.deepcopy(module)).requires_grad_(True)


def without_dropout(module: M) -> M:
    """Switch a module's dropout off for good, in training too, and return the module."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return module


class TunedNorms(nn.Module):
    """Copies of one encoder layer's own layer norms, trained in their place.

    Of a Conformer block, which has six, these are the one before attention and the one at its end.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        attention, final = norms_of(layer)
        self.attention = learning_copy(attention)
        self.final = learning_copy(final)


class ElpAdapters(Adapters):
    """E-, L- and P-adapters and tuned norms. Child names are the bundle's tensor names: e, l, p, norm.

    Made from `ElpConfig`; the backbone is read, never changed. Parts that no output would depend on (after the last
    layer that the L-adapter sums) are not made.

    Raises:
        ConfigError: The configuration names a layer that the backbone does not have, or that no output depends on.
    """

    def __init__(self, backbone: Backbone, config: ElpConfig) -> None:
        super().__init__(backbone)
        self.config = config
        encoder, mixed, norms = _plan(backbone.layer_count, config)
        width, drop = backbone.hidden_size, config.dropout
        self.e = nn.ModuleDict()
        if config.encoder is not None:
            part = config.encoder
            for layer in encoder:
                self.e[str(layer)] = EncoderAdapter(width, part.bottleneck, part.activation, drop)
        self.l: LayerMix | None = None
        if config.layer is not None:
            self.l = LayerMix(mixed, width, config.layer.width, config.layer.activation, drop)
            self.dim, self.read = config.layer.width, tuple(layer + 1 for layer in mixed)
        self.p: Prompt | None = None
        if config.prompt is not None:
            self.p = Prompt(config.prompt.count, backbone.feature_size, config.prompt.place)
        self.norm = nn.ModuleDict({str(layer): TunedNorms(backbone.layers[layer]) for layer in norms})
        self.touched = tuple(sorted({*encoder, *norms}))
        self.learns_input = self.p is not None

    def keep_apart(self) -> None:
        """Give the head the L-adapters' outputs side by side, or every state if there are no L-adapters."""
        if self.l is None:
            super().keep_apart()
        else:
            self.l.keep_apart()
            self.apart, self.dim = True, len(self.read) * self.dim

    def join(self, features: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the pseudo features to [B, F, C] and to the counts [B]."""
        return (features, counts) if self.p is None else self.p.join(features, counts)

    def drop(self, frames: torch.Tensor) -> torch.Tensor:
        """Remove the pseudo features' frames from [B, F + n, D]."""
        return frames if self.p is None else self.p.drop(frames)

    def gather(self, states: Iterator[torch.Tensor], network: Backbone) -> torch.Tensor:
        """Return frames for the head [B, F, dim] from the states [B, F + n, D], the encoder's input first."""
        if self.l is None:
            return super().gather(states, network)
        next(states)  # the encoder's input; the layers follow
        return self.drop(self.l.side_by_side(states) if self.apart else self.l(states))

    def inserts(self, layer: int) -> LayerInserts:
        """Return what goes into encoder layer `layer`, from 0."""
        after = dict(self.e.items()).get(str(layer))
        if str(layer) not in self.norm:
            return LayerInserts(after_ffn=after)
        norms = self.norm[str(layer)]
        return LayerInserts(norms.get_submodule("attention"), norms.get_submodule("final"), after)


def _plan(count: int, config: ElpConfig) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the layers with E-adapters, with L-adapters and with tuned norms."""
    everything = tuple(range(count))
    faults: list[str] = []

    def chosen(name: str, layers: tuple[int, ...] | None, default: tuple[int, ...]) -> tuple[int, ...]:
        if layers is None:
            return default
        if not layers or not set(layers) <= set(everything) or len(set(layers)) != len(layers):
            faults.append(f"{name}.layers is {list(layers)}, expected different layers of 0 to {count - 1}")
        return tuple(sorted(layers))

    mixed = chosen("layer", config.layer.layers, everything) if config.layer is not None else ()
    used = tuple(layer for layer in everything if layer <= max(mixed, default=count - 1))
    encoder: tuple[int, ...] = ()
    if config.encoder is not None:
        encoder = chosen("encoder", config.encoder.layers, tuple(layer for layer in used if layer < count - 1))
        after = [layer for layer in encoder if layer in everything and layer not in used]
        if after:
            faults.append(f"encoder.layers names {after}, but the L-adapter sums no layer from there on")
    if faults:
        raise ConfigError("adapter", faults)
    return encoder, mixed, used if config.tune_norms else ()
