"""A layer's frozen linear maps on the CPU, with the gradient of their input alone.

PyTorch's own give the same results. Here biases are added in place (PyTorch copies each over the whole output first),
the projections of attention add up their gradients within the products, and the gradient of the feed-forward block's
activation takes the place of what it is made from: memory that is not asked for need not be cleared either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable


def project(rows: torch.Tensor, linears: Sequence[nn.Module]) -> tuple[torch.Tensor, ...]:
    """What each of `linears` makes of [N, D]."""
    if not _plain(rows, *linears):
        return tuple(one(rows) for one in linears)
    weights: list[Any] = [part for one in linears for part in (one.weight, one.bias)]
    found: tuple[torch.Tensor, ...] = Projections.apply(rows, *weights)  # type: ignore[no-untyped-call]
    return found


def feed_forward(module: Any, hidden: torch.Tensor) -> torch.Tensor:
    """What a layer's feed-forward block makes of [..., D]."""
    inner, outer = module.intermediate_dense, module.output_dense
    found: torch.Tensor
    gelu = getattr(module.intermediate_act_fn, "act", None) is F.gelu
    if gelu and not hooked(module) and _plain(hidden, inner, outer):
        found = FeedForward.apply(hidden, inner.weight, inner.bias, outer.weight, outer.bias)  # type: ignore[no-untyped-call]
    else:
        found = module(hidden)
    return found


def in_float32(hidden: torch.Tensor) -> bool:
    """Whether products of `hidden` [..., D] are worked out in float32 on the CPU."""
    return hidden.device.type == "cpu" and hidden.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def hooked(module: nn.Module) -> bool:
    """Whether somebody listens to calls of `module`, which is then called as it is, and rounds otherwise."""
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def _plain(hidden: torch.Tensor, *linears: Any) -> bool:
    """Whether `linears` are nothing but frozen linear layers, run in float32 on the CPU."""
    return (
        in_float32(hidden)
        and all(type(one) is nn.Linear and one.bias is not None and not hooked(one) for one in linears)
        and not any(part.requires_grad for one in linears for part in one.parameters())
    )


class Projections(torch.autograd.Function):
    """Several linear maps of one input."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, *pairs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Rows [N, D] by weights [D', D] and biases [D'] in turn."""
        ctx.save_for_backward(*pairs[::2])
        return tuple(torch.mm(rows, w.t()).add_(b) for w, b in zip(pairs[::2], pairs[1::2], strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of the rows [N, D], from one [N, D'] for each map; weights and biases get none."""
        weights = ctx.saved_tensors
        found = torch.mm(gradients[0], weights[0])
        for gradient, weight in zip(gradients[1:], weights[1:], strict=True):
            found.addmm_(gradient, weight)
        return found, *[None] * (2 * len(weights))


class FeedForward(torch.autograd.Function):
    """Two linear maps with GELU between them."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        inner: torch.Tensor,
        inner_bias: torch.Tensor,
        outer: torch.Tensor,
        outer_bias: torch.Tensor,
    ) -> torch.Tensor:
        """[..., D] to [..., D]."""
        raised = torch.mm(hidden.reshape(-1, hidden.shape[-1]), inner.t()).add_(inner_bias)
        ctx.save_for_backward(inner, outer, raised)
        return torch.mm(F.gelu(raised), outer.t()).add_(outer_bias).view(hidden.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of the input [..., D], from that of the output; weights and biases get none."""
        inner, outer, raised = ctx.saved_tensors
        found = torch.mm(gradient.reshape(-1, gradient.shape[-1]), outer)
        torch.ops.aten.gelu_backward.grad_input(found, raised, grad_input=found)
        return torch.mm(found, inner).view(gradient.shape), None, None, None, None
