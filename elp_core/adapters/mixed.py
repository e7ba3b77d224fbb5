"""One forward pass for clips of several adapter sets on one backbone.

What is frozen (the projections of attention, the feed-forward blocks) sees the frames of all clips at once; scores of
attention stay inside blocks of equally long clips, and adapters and tuned norms see the frames of their own clips.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from elp_core.adapters.elp_adapters import ElpAdapters
from elp_core.backbones import Backbone
from elp_core.backbones.attention import Block
from elp_core.backbones.conformer import norms_of
from elp_core.backbones.forward import LayerInserts, Transform, block_of, run_layer
from elp_core.backbones.frames import blank, real_frames


@dataclass(frozen=True)
class Part:
    """The clips of one set of adapters in a mixed batch. B clips, F frames, C feature channels."""

    adapters: ElpAdapters
    features: torch.Tensor
    """CNN features [B, F, C], zero beyond each clip's frames."""
    counts: torch.Tensor
    """int64 [B], real frames."""
    drawing: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    """A context around the adapters, in which they draw their dropout."""


def mixed_frames(backbone: Backbone, parts: Sequence[Part], stack: bool | None = None) -> list[torch.Tensor]:
    """Return frames for each part's head, [B, F, dim] and zero after each clip's own, as its adapters alone give them.

    Adjacent parts of equal length, pseudo features counted, share one block of attention: on a GPU pad parts to one
    length and sort them by their number of pseudo features.

    With `stack`, adjacent parts of one configuration and one number of frames run through stacked weights, a batched
    product for each layer, instead of one after the other. Their dropout is then drawn together. None does so on a GPU
    outside of training: it saves kernel launches and copies the weights once, and a CPU has no launches to save
    (`benchmarks/bench_host.py` measures both).
    """
    grouped = _groups(parts, stack)
    entered = [_enter(backbone, list(block)) for _, block in itertools.groupby(grouped, key=lambda group: group.width)]
    hidden = torch.cat([frames.flatten(0, 1) for frames, _ in entered])
    blocks = [block for _, block in entered]
    sizes = [group.size for group in grouped]
    for group, frames in zip(grouped, torch.split(hidden, sizes), strict=True):
        group.collect(-1, frames)
    depth = max(group.mixes[0].last + 1 if group.mixes else backbone.layer_count for group in grouped)
    for number in range(depth):
        hidden = run_layer(backbone, number, hidden, blocks, _inserts(backbone, grouped, sizes, number))
        for group, frames in zip(grouped, torch.split(hidden, sizes), strict=True):
            group.collect(number, frames)
    return [frames for group in grouped for frames in group.finish(backbone)]


class _Group:
    """Adjacent parts that pass their adapters together: one, or several of one configuration with stacked weights.

    G parts of B clips each, W frames with the pseudo features'.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        self.first = parts[0].adapters
        # of all parts or of none: they have one configuration
        self.mixes = [part.adapters.l for part in parts if part.adapters.l is not None]
        joined = [part.adapters.join(part.features, part.counts) for part in parts]
        self.features = _cat([features for features, _ in joined])
        self.counts = _cat([counts for _, counts in joined])
        self.width = self.features.shape[1]
        self.size = len(self.features) * self.width
        self.drawing = parts[0].drawing if len(parts) == 1 else contextlib.nullcontext
        self.total: torch.Tensor | None = None
        self.kept: list[torch.Tensor] = []
        """The states for a head that weighs the layers itself."""
        self.shares = self._shares()

    def pass_through(self, modules: Sequence[nn.Module], frames: torch.Tensor) -> torch.Tensor:
        """Pass each part's frames through its own module; [G * B * W, D] or [G * B, F, D]."""
        if len(modules) == 1:
            result: torch.Tensor = modules[0](frames)
            return result
        return _stacked(modules, frames.reshape(len(modules), -1, *frames.shape[1:])).flatten(0, 1)

    def collect(self, layer: int, frames: torch.Tensor) -> None:
        """Add a layer's output [G * B * W, D] to what the head will process; layer -1 is the encoder's input."""
        hidden = frames.view(-1, self.width, frames.shape[1])
        if self.first.apart:
            self._keep(layer, hidden)
        elif layer < 0:
            return
        elif not self.mixes:
            self.total = hidden
        elif layer in self.shares:
            modules, share = [mix.get_submodule(str(layer)) for mix in self.mixes], self.shares[layer]
            with self.drawing():
                alone = len(modules) == 1
                term = modules[0](hidden, share) if alone else share * self.pass_through(modules, hidden)
            self.total = term if self.total is None else self.total.add_(term)

    def finish(self, backbone: Backbone) -> Iterator[torch.Tensor]:
        """Yield the frames of each part."""
        if self.first.apart:
            kept = [self.first.drop(state) for state in self.kept]
            if not self.mixes:
                kept[-1] = backbone.finish(kept[-1])
            total = torch.cat(kept, dim=2)
        else:
            assert self.total is not None
            total = self.first.drop(self.total)
            total = total if self.mixes else backbone.finish(total)
        for part, frames in zip(self.parts, total.chunk(len(self.parts)), strict=True):
            yield blank(frames, real_frames(part.counts, frames.shape[1]))

    def _keep(self, layer: int, hidden: torch.Tensor) -> None:
        """Keep a layer's output [G * B, W, D], or what the L-adapters make of it."""
        if not self.mixes:
            self.kept.append(hidden)
        elif layer in self.mixes[0].layers:
            with self.drawing():
                self.kept.append(self.pass_through([mix.get_submodule(str(layer)) for mix in self.mixes], hidden))

    def _shares(self) -> dict[int, torch.Tensor]:
        """Return, by layer, the weight of each clip's own mix: [] or [G * B, 1, 1]."""
        if not self.mixes or self.first.apart:
            return {}
        shares = torch.stack([mix.weights.softmax(0) for mix in self.mixes], dim=1).squeeze(1)
        if len(self.mixes) > 1:
            shares = shares.repeat_interleave(len(self.features) // len(self.mixes), 1)[:, :, None, None]
        return dict(zip(self.mixes[0].layers, shares.unbind(), strict=True))


def _groups(parts: Sequence[Part], stack: bool | None) -> list[_Group]:
    if stack is None:
        stack = parts[0].features.is_cuda and not any(part.adapters.training for part in parts)
    if not stack:
        return [_Group([part]) for part in parts]
    alike = itertools.groupby(parts, key=lambda part: (part.adapters.config, part.adapters.apart, part.features.shape))
    return [_Group(list(run)) for _, run in alike]


def _enter(backbone: Backbone, groups: Sequence[_Group]) -> tuple[torch.Tensor, Block]:
    learn = any(group.first.learns_input for group in groups)
    with torch.set_grad_enabled(torch.is_grad_enabled() and learn):
        counts = _cat([g.counts for g in groups])
        hidden = backbone.embed(backbone.project(_cat([g.features for g in groups])), counts)
        return hidden, block_of(backbone, hidden, counts)


def _inserts(backbone: Backbone, groups: Sequence[_Group], sizes: list[int], layer: int) -> LayerInserts:
    """Return what goes into a layer for the frames [N, D] of all groups; None for what no group has."""
    inserts = [[part.adapters.inserts(layer) for part in group.parts] for group in groups]

    def each(name: str, instead: nn.Module | None, drawn: bool = False) -> Transform | None:
        chosen: list[list[Any]] = [[getattr(one, name) or instead for one in group] for group in inserts]
        if all(module is instead for modules in chosen for module in modules):
            return None

        def apply(hidden: torch.Tensor) -> torch.Tensor:
            passed = []
            for group, modules, frames in zip(groups, chosen, torch.split(hidden, sizes), strict=True):
                with group.drawing() if drawn else contextlib.nullcontext():
                    passed.append(frames if modules[0] is None else group.pass_through(modules, frames))
            return _cat(passed)

        return apply

    attention, final = norms_of(backbone.layers[layer])
    return LayerInserts(each("attention_norm", attention), each("final_norm", final), each("after_ffn", None, True))


def _stacked(modules: Sequence[nn.Module], inputs: torch.Tensor) -> torch.Tensor:
    """Run modules of one shape on inputs [G, ...], each on its own, with their weights stacked."""
    states = [dict(module.named_parameters()) for module in modules]
    weights = {name: torch.stack([state[name] for state in states]) for name in states[0]}

    def call(state: dict[str, torch.Tensor], one: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.func.functional_call(modules[0], state, (one,))
        return result

    result: torch.Tensor = torch.vmap(call, randomness="different")(weights, inputs)
    return result


def _cat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
