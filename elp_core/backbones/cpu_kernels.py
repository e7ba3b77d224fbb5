"""Operations of a frozen encoder layer on the CPU, with gradients of their inputs only; results are PyTorch's.

What each saves of PyTorch's own time is in its comment, measured by `benchmarks/bench_kernels.py` (WavLM base size, 8
clips of 4 s, forward and backward, two threads). `bench_training.py` needs them all for its figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from elp_core.private_names import cpu_flash_attention, gelu_gradient_, has_hooks


def project(rows: torch.Tensor, linears: Sequence[nn.Module]) -> tuple[torch.Tensor, ...]:
    """Apply each of `linears` to [N, D]."""
    if not _plain(rows, *linears):
        return tuple(one(rows) for one in linears)
    weights: list[Any] = [part for one in linears for part in (one.weight, one.bias)]
    found: tuple[torch.Tensor, ...] = Projections.apply(rows, *weights)  # type: ignore[no-untyped-call]
    return found


def feed_forward(module: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Apply a layer's feed-forward block to [..., D]."""
    inner, outer = module.intermediate_dense, module.output_dense
    gelu = getattr(module.intermediate_act_fn, "act", None) is F.gelu
    if not gelu or has_hooks(module) or not _plain(hidden, inner, outer):
        found: torch.Tensor = module(hidden)
        return found
    found = FeedForward.apply(hidden, inner.weight, inner.bias, outer.weight, outer.bias)  # type: ignore[no-untyped-call]
    return found


def in_float32(hidden: torch.Tensor) -> bool:
    """Return whether products of `hidden` [..., D] are computed in float32 on the CPU."""
    return hidden.device.type == "cpu" and hidden.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def _plain(hidden: torch.Tensor, *linears: Any) -> bool:
    """Return whether `linears` are nothing but frozen linear layers, computed in float32 on the CPU.

    A module with hooks is called, because its hooks must run.
    """
    return (
        in_float32(hidden)
        and all(type(one) is nn.Linear and one.bias is not None and not has_hooks(one) for one in linears)
        and not any(part.requires_grad for one in linears for part in one.parameters())
    )


class Projections(torch.autograd.Function):
    """Several linear maps of one input."""

    # PROJECTIONS_GAIN

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, *pairs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Multiply rows [N, D] by weights [D', D], and add biases [D']; the two alternate in `pairs`."""
        ctx.save_for_backward(*pairs[::2])
        return tuple(torch.mm(rows, w.t()).add_(b) for w, b in zip(pairs[::2], pairs[1::2], strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient of the rows [N, D], from one [N, D'] for each map; weights and biases get none."""
        weights = ctx.saved_tensors
        found = torch.mm(gradients[0], weights[0])
        for gradient, weight in zip(gradients[1:], weights[1:], strict=True):
            found.addmm_(gradient, weight)
        return found, *[None] * (2 * len(weights))


class FeedForward(torch.autograd.Function):
    """Two linear maps with GELU between them."""

    # FEED_FORWARD_GAIN

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        inner: torch.Tensor,
        inner_bias: torch.Tensor,
        outer: torch.Tensor,
        outer_bias: torch.Tensor,
    ) -> torch.Tensor:
        """Map [..., D] to [..., D]."""
        raised = torch.mm(hidden.reshape(-1, hidden.shape[-1]), inner.t()).add_(inner_bias)
        ctx.save_for_backward(inner, outer, raised)
        return torch.mm(F.gelu(raised), outer.t()).add_(outer_bias).view(hidden.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient of the input [..., D], from that of the output; weights and biases get none."""
        inner, outer, raised = ctx.saved_tensors
        found = torch.mm(gradient.reshape(-1, gradient.shape[-1]), outer)
        gelu_gradient_(found, raised)
        return torch.mm(found, inner).view(gradient.shape), None, None, None, None


class GatedAttention(torch.autograd.Function):
    """``softmax(q kᵀ / √d + gate · position) v`` (WavLM) with keys after a clip's end left out.

    B clips, H heads, F frames, d dimensions of a head; float32 on the CPU.
    """

    # PyTorch's fused CPU kernel has no gradient for an additive mask, and the gate, which the mask depends on, needs
    # one: autograd would keep and read several [B, H, F, F] tensors a layer. Here the forward pass is the fused kernel,
    # and the backward pass recomputes one clip's probabilities at a time, in the same memory, which fits the
    # processor's cache. GATED_GAIN

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        gate: torch.Tensor,
        position: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """Attend.

        Args:
            ctx: Of autograd.
            query: [B, H, F, d], like `key` and `value`.
            key: See `query`.
            value: See `query`.
            gate: [B, H, F, 1].
            position: [H, F, F]; gets no gradient.
            mask: Bool [B, 1, 1, F], true if a frame is real; None if all are.

        Returns:
            [B, H, F, d].
        """
        bias = gate * position
        if mask is not None:
            bias = bias.masked_fill_(~mask, float("-inf"))
        mixed, normaliser = cpu_flash_attention(query, key, value, bias)
        ctx.save_for_backward(query, key, value, gate, position, mask, mixed, normaliser)
        return mixed

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of query, key, value [B, H, F, d] and gate [B, H, F, 1].

        Dao et al. 2022, arXiv 2205.14135, appendix B.4, and ∂ gate.
        """
        query, key, value, gate, position, mask, mixed, normaliser = ctx.saved_tensors
        scale = query.shape[-1] ** -0.5
        # frames before heads: the projections' gradients read them in this order without a copy
        found = [torch.empty_like(query.transpose(1, 2)).transpose(1, 2) for _ in range(3)]
        to_gate = torch.empty_like(gate)
        shares, scores = (query.new_empty(position.shape) for _ in range(2))
        heads = query.new_empty(query.shape[1:])
        for clip in range(len(query)):
            q, k, v, wanted = query[clip], key[clip], value[clip], gradient[clip]
            torch.mul(gate[clip], position, out=shares)
            shares.baddbmm_(q, k.transpose(1, 2), alpha=scale)
            if mask is not None:
                shares.masked_fill_(~mask[clip], float("-inf"))
            shares.sub_(normaliser[clip].unsqueeze(-1)).exp_()
            found[2][clip] = torch.bmm(shares.transpose(1, 2), wanted, out=heads)
            offset = torch.mul(wanted, mixed[clip], out=heads).sum(-1, keepdim=True)
            torch.bmm(wanted, v.transpose(1, 2), out=scores).sub_(offset).mul_(shares)
            torch.sum(torch.mul(scores, position, out=shares), -1, keepdim=True, out=to_gate[clip])
            found[0][clip] = torch.baddbmm(heads, scores, k, beta=0, alpha=scale, out=heads)
            found[1][clip] = torch.baddbmm(heads, scores.transpose(1, 2), q, beta=0, alpha=scale, out=heads)
        return *found, to_gate, None, None
