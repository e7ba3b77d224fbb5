"""A network of one's own beside the shared backbone: some modules are copies, the others are the backbone's."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from torch import nn

if TYPE_CHECKING:
    from elp_core.backbones.load import Backbone

M = TypeVar("M", bound=nn.Module)


def private_network(
    backbone: Backbone,
    layers: Mapping[int, nn.Module],
    encoder: Mapping[str, nn.Module] | None = None,
    projection: nn.Module | None = None,
) -> Backbone:
    """A backbone with modules in place of its own; everything else is shared, and the shared one stays as it is.

    Args:
        backbone: the shared one.
        layers: encoder layers by number, from 0.
        encoder: other modules of the encoder by name, such as ``layer_norm``.
        projection: in place of the feature projection.
    """
    network, own = _shell(backbone), _shell(backbone.encoder)
    own.layers = nn.ModuleList(layers.get(number, layer) for number, layer in enumerate(backbone.layers))
    for name, module in (encoder or {}).items():
        setattr(own, name, module)
    network.encoder = own
    if projection is not None:
        network.feature_projection = projection
    return network


def learning_copy(module: M) -> M:
    """A copy whose every parameter learns, without dropout (the shared backbone has none either)."""
    return _without_dropout(copy.deepcopy(module)).requires_grad_(True)


def sharing_copy(module: M) -> M:
    """Copies of the modules over the very same parameters: what is put in beside them costs no second weights."""
    return _without_dropout(copy.deepcopy(module, {id(parameter): parameter for parameter in module.parameters()}))


def _shell(module: M) -> M:
    """The same submodules in a container of its own."""
    shell = copy.copy(module)
    shell._modules = dict(module._modules)
    return shell


def _without_dropout(module: M) -> M:
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return module
