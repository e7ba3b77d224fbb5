"""Read and write the tensors of adapters and head by the bundle's names, strictly.

Names: ``e.<layer>.down|up|norm.weight|bias``, ``l.<layer>.down|norm.weight|bias``, ``l.weights``, ``p.features``,
``norm.<layer>.attention|final.weight|bias`` and ``head.*``; other methods use the names of their modules.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from elp_core.errors import BundleError, first_faults


def parameters(adapters: nn.Module, head: nn.Module) -> dict[str, nn.Parameter]:
    """Return everything trainable by its name."""
    found = {name: parameter for name, parameter in adapters.named_parameters() if parameter.requires_grad}
    return found | {f"head.{name}": parameter for name, parameter in head.named_parameters()}


def state(adapters: nn.Module, head: nn.Module) -> dict[str, torch.Tensor]:
    """Return everything that a bundle keeps by its name, detached but not copied."""
    frozen = {name for name, parameter in adapters.named_parameters() if not parameter.requires_grad}
    found = {name: tensor for name, tensor in adapters.state_dict().items() if name not in frozen}
    return found | {f"head.{name}": tensor for name, tensor in head.state_dict().items()}


def load_state(adapters: nn.Module, head: nn.Module, tensors: Mapping[str, torch.Tensor], assign: bool = False) -> None:
    """Copy `tensors` in, all or none; with `assign` they replace the modules' own.

    Raises:
        BundleError: Tensors are missing, unknown, of another shape or dtype, or not finite.
    """
    own = state(adapters, head)
    faults = [f"{name} is missing" for name in own.keys() - tensors.keys()]
    faults += [f"{name} has no place in this adapter" for name in tensors.keys() - own.keys()]
    for name in own.keys() & tensors.keys():
        got, expected = tensors[name], own[name]
        if got.shape != expected.shape or got.dtype != expected.dtype:
            faults.append(f"{name} is {_form(got)}, expected {_form(expected)}")
        elif got.is_floating_point() and not bool(got.isfinite().all()):
            faults.append(f"{name} has values that are NaN or infinite")
    if faults:
        raise BundleError(f"the tensors do not fit the adapter's configuration: {first_faults(sorted(faults))}")
    of_head = {name.removeprefix("head."): value for name, value in tensors.items() if name.startswith("head.")}
    head.load_state_dict(of_head, assign=assign)
    # not strict: no bundle contains what a method shares with the backbone
    rest = {name: value for name, value in tensors.items() if not name.startswith("head.")}
    adapters.load_state_dict(rest, strict=False, assign=assign)


def _form(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
