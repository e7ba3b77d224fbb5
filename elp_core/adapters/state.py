"""Tensors in and out of adapters and head by the bundle's names, strictly.

Names: ``e.<layer>.down|up|norm.weight|bias``, ``l.<layer>.down|norm.weight|bias``, ``l.weights``, ``p.features``,
``norm.<layer>.attention|final.weight|bias`` and ``head.*``; other methods' are those of their modules.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from elp_core.errors import BundleError


def parameters(adapters: nn.Module, head: nn.Module) -> dict[str, nn.Parameter]:
    """Everything trainable by its name."""
    found = {name: parameter for name, parameter in adapters.named_parameters() if parameter.requires_grad}
    found.update((f"head.{name}", parameter) for name, parameter in head.named_parameters())
    return found


def state(adapters: nn.Module, head: nn.Module) -> dict[str, torch.Tensor]:
    """Everything that a bundle keeps by its name, detached but not copied."""
    frozen = {name for name, parameter in adapters.named_parameters() if not parameter.requires_grad}
    found = {name: tensor for name, tensor in adapters.state_dict().items() if name not in frozen}
    found.update((f"head.{name}", tensor) for name, tensor in head.state_dict().items())
    return found


def load_state(adapters: nn.Module, head: nn.Module, tensors: Mapping[str, torch.Tensor], assign: bool = False) -> None:
    """Copy `tensors` in, all or none; with `assign` they take the place of the modules' own.

    Raises:
        BundleError: naming what is missing, of no place, of another shape or dtype, or not finite.
    """
    own = state(adapters, head)
    faults = [f"{name} is missing" for name in own if name not in tensors]
    faults += [f"{name} has no place in this adapter" for name in tensors if name not in own]
    for name in own.keys() & tensors.keys():
        got, expected = tensors[name], own[name]
        if got.shape != expected.shape or got.dtype != expected.dtype:
            faults.append(f"{name} is {_form(got)}, expected {_form(expected)}")
        elif got.is_floating_point() and not bool(got.isfinite().all()):
            faults.append(f"{name} has values that are NaN or infinite")
    if faults:
        faults.sort()
        shown = "; ".join(faults[:4]) + (f"; and {len(faults) - 4} more" if len(faults) > 4 else "")
        raise BundleError(f"the tensors do not fit the adapter's configuration: {shown}")
    of_head = {name.removeprefix("head."): value for name, value in tensors.items() if name.startswith("head.")}
    head.load_state_dict(of_head, assign=assign)
    # not strict: what a method shares with the backbone is in no bundle
    rest = {name: value for name, value in tensors.items() if not name.startswith("head.")}
    adapters.load_state_dict(rest, strict=False, assign=assign)


def _form(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
