"""Attention under a gated position bias (WavLM) on the CPU, with a gradient computed clip by clip."""

from __future__ import annotations

from typing import Any

import torch

from elp_core.private_names import cpu_flash_attention


class GatedAttention(torch.autograd.Function):
    """``softmax(q kᵀ / √d + gate · position) v`` (WavLM) with keys after a clip's end left out.

    B clips, H heads, F frames, d dimensions of a head; float32 on the CPU.
    """

    # Wins 1.11 x PyTorch's speed, forward and backward (`benchmarks/bench_kernels.py`), and the memory of the scores:
    # PyTorch's fused CPU kernel has no gradient for an additive mask, and the gate, which the mask depends on, needs
    # one, so autograd would keep and read several [B, H, F, F] tensors a layer. Here the forward pass is the fused
    # kernel, and the backward pass recomputes one clip's probabilities at a time, in memory that fits the cache.

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
