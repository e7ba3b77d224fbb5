"""Self-attention of every family with the backbone's own projections, by PyTorch's fused kernel.

WavLM adds a gated relative position bias (Chen et al. 2022, arXiv 2110.13900, section III-B). transformers computes it
eagerly; here it is the additive mask of the same kernel. w2v-BERT 2.0 adds a score of the distance between two frames,
which depends on the query ("relative key": Shaw et al. 2018, arXiv 1803.02155, eq. 4); it is such a mask too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from elp_core.private_names import cpu_flash_attention


@dataclass(frozen=True)
class Block:
    """Clips padded to one length; each frame attends to the real frames of its own clip."""

    clips: int
    frames: int
    """F, padding counted."""
    mask: torch.Tensor | None
    """Bool [B, 1, 1, F], true if a frame is real; None if all are."""
    bias: torch.Tensor | None
    """[H, F, F]: WavLM's relative position bias; None in other families."""


def attend(module: Any, hidden: torch.Tensor, blocks: Sequence[Block]) -> torch.Tensor:
    """Apply a transformers attention module to [..., D], the frames of the clips of all blocks in their order.

    The projections take all frames at once; scores are inside each block.
    """
    frames = hidden.reshape(-1, hidden.shape[-1])
    query, key, value, out = _projections(module)
    inputs = (frames, query(frames), key(frames), value(frames))
    if len(blocks) == 1:  # as in training: the gradient of a split would be a copy
        mixed = _within(module, blocks[0], *inputs)
    else:
        sizes = [block.clips * block.frames for block in blocks]
        parts = zip(blocks, *(torch.split(rows, sizes) for rows in inputs), strict=True)
        mixed = torch.cat([_within(module, *part) for part in parts])
    result: torch.Tensor = out(mixed).view(hidden.shape)
    return result


def _projections(module: Any) -> tuple[Any, Any, Any, Any]:
    """Return the linear layers of queries, keys, values and the output."""
    if hasattr(module, "linear_q"):  # w2v-BERT 2.0
        return module.linear_q, module.linear_k, module.linear_v, module.linear_out
    return module.q_proj, module.k_proj, module.v_proj, module.out_proj


def _within(
    module: Any, block: Block, hidden: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> torch.Tensor:
    """Apply attention inside one block, from and to [B * F, D]."""

    def by_head(rows: torch.Tensor) -> torch.Tensor:
        return rows.view(block.clips, block.frames, module.num_heads, -1)

    queries, keys, values = (by_head(rows).transpose(1, 2) for rows in (query, key, value))
    mask, position = block.mask, block.bias
    if hasattr(module, "distance_embedding"):
        bias = distance_bias(module, queries)
        mask = bias if mask is None else bias.masked_fill(~mask, float("-inf"))
    if position is not None:
        gate = _gate(module, by_head(hidden))
        learns = torch.is_grad_enabled() and gate.requires_grad and not position.requires_grad
        if learns and queries.device.type == "cpu" and queries.dtype == gate.dtype == torch.float32:
            gated: torch.Tensor = GatedAttention.apply(queries, keys, values, gate, position, mask)  # type: ignore[no-untyped-call]
            return gated.transpose(1, 2).reshape(hidden.shape)
        bias = (gate * position).to(queries.dtype)
        mask = bias if mask is None else bias.masked_fill(~mask, float("-inf"))
    mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    return mixed.transpose(1, 2).reshape(hidden.shape)


def distance_bias(module: Any, queries: torch.Tensor) -> torch.Tensor:
    """Return what w2v-BERT 2.0 adds to the scores, [B, H, F, F], for queries [B, H, F, d].

    Frame j is seen from frame i at the distance j - i, which ends at the module's left and right limits.
    """
    left, right = module.left_max_position_embeddings, module.right_max_position_embeddings
    frame = torch.arange(queries.shape[2], device=queries.device)
    distance = (frame - frame.unsqueeze(1)).clamp(-left, right) + left
    # one score for each distance, then one lookup for each pair: transformers makes an embedding for each pair
    scores: torch.Tensor = queries @ module.distance_embedding.weight.T.to(queries.dtype) * queries.shape[-1] ** -0.5
    return scores.gather(3, distance.expand(*scores.shape[:2], *distance.shape))


def position_bias(module: Any, frames: int) -> torch.Tensor | None:
    """Return the relative position bias [H, F, F] of WavLM, which is in its first layer; None in other families."""
    if not hasattr(module, "rel_attn_embed"):
        return None
    bias: torch.Tensor = module.compute_bias(frames, frames)
    return bias.contiguous()  # in transformers a view of [F, F, H], slow to read in every layer


def _gate(module: Any, heads: torch.Tensor) -> torch.Tensor:
    """Return the gate [B, H, F, 1] from hidden states by head [B, F, H, D / H]."""
    projected = module.gru_rel_pos_linear(heads).unflatten(-1, (2, 4)).sum(-1).transpose(1, 2)
    update, reset = projected.sigmoid().chunk(2, dim=-1)
    gate: torch.Tensor = update * (reset * module.gru_rel_pos_const - 1.0) + 2.0
    return gate


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
        """Attend with query, key and value [B, H, F, d], gate [B, H, F, 1] and a `Block`'s position bias and mask."""
        bias = gate * position
        if mask is not None:
            bias = bias.masked_fill_(~mask, float("-inf"))
        mixed, normaliser = cpu_flash_attention(query, key, value, bias)
        ctx.save_for_backward(query, key, value, gate, position, mask, mixed, normaliser)
        return mixed

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of q, k, v [B, H, F, d] and gate (Dao et al. 2022, arXiv 2205.14135, appendix B.4)."""
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
