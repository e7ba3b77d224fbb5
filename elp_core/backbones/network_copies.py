"""Networks that share some modules with the backbone and have copies of the others."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from torch import nn

from elp_core.private_names import shallow_copy

if TYPE_CHECKING:
    from elp_core.backbones.load import Backbone

M = TypeVar("M", bound=nn.Module)


def private_network(
    backbone: Backbone,
    layers: Mapping[int, nn.Module],
    encoder: Mapping[str, nn.Module] | None = None,
    projection: nn.Module | None = None,
) -> Backbone:
    """Return a backbone with other modules in place of some of its own; the shared backbone does not change.

    Args:
        backbone: The shared one.
        layers: Encoder layers by number, from 0.
        encoder: Other modules of the encoder by name, such as ``layer_norm``.
        projection: In place of the feature projection.
    """
    network, own = shallow_copy(backbone), shallow_copy(backbone.encoder)
    own.layers = nn.ModuleList(layers.get(number, layer) for number, layer in enumerate(backbone.layers))
    for name, module in (encoder or {}).items():
        setattr(own, name, module)
    network.encoder = own
    if projection is not None:
        network.feature_projection = projection
    return network


def learning_copy(module: M) -> M:
    """Return a copy whose parameters all learn, without dropout (the shared backbone has none either)."""
    return _without_dropout(copy.deepcopy(module)).requires_grad_(True)


def sharing_copy(module: M) -> M:
    """Return copies of the modules with the same parameters, so that additions to them need no second weights."""
    return _without_dropout(copy.deepcopy(module, {id(parameter): parameter for parameter in module.parameters()}))


def _without_dropout(module: M) -> M:
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return module
