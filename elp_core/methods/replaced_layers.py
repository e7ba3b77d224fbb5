"""A backbone with some of its encoder layers replaced by others, which may share its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import nn

from elp_core.adapters.elp_adapters import without_dropout
from elp_core.backbones import Backbone
from elp_core.private_names import shallow_copy


def private_network(backbone: Backbone, layers: nn.ModuleDict, norm: nn.Module | None = None) -> Backbone:
    """Return a network with some encoder layers (by number) and the final norm replaced; it shares the rest."""
    network, encoder = shallow_copy(backbone), shallow_copy(backbone.encoder)
    own = dict(layers.items())
    encoder.layers = nn.ModuleList(own.get(str(number), layer) for number, layer in enumerate(backbone.layers))
    if norm is not None:
        encoder.layer_norm = norm
    network.encoder = encoder
    return network


def sharing_copies(backbone: Backbone, learns: Callable[[str, nn.Module], bool] | None = None) -> nn.ModuleDict:
    """Return copies of the encoder layers, by number, that share the backbone's weights.

    Of a tensor for which `learns` (its name, its module) is true the copy has its own, which learns.
    """
    shared = {}
    for module in backbone.layers.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if learns is None or not learns(name, module):
                # a parameter in the copy's memo is not copied
                shared[id(parameter)] = parameter
    copies = without_dropout(copy.deepcopy(backbone.layers, shared))
    for parameter in copies.parameters():
        if id(parameter) not in shared:
            parameter.requires_grad_(True)
    return nn.ModuleDict({str(number): layer for number, layer in enumerate(copies)})
