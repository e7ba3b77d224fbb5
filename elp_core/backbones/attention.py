"""Self-attention of every family with the backbone's own projections, by PyTorch's fused kernel.

WavLM adds a gated relative position bias (Chen et al. 2022, arXiv 2110.13900, section III-B). transformers computes it
eagerly; here it is the additive mask of the same kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from elp_core.backbones.gated_attention import GatedAttention


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
    """Apply multi-head self-attention. The projections take all frames at once; scores are inside each block.

    Args:
        module: A transformers attention module of one of the families.
        hidden: [..., D]: the frames of the first block's first clip, of its second clip, and so on.
        blocks: The blocks of the frames, in their order.

    Returns:
        The same shape as `hidden`.
    """
    frames = hidden.reshape(-1, hidden.shape[-1])
    inputs = (frames, module.q_proj(frames), module.k_proj(frames), module.v_proj(frames))
    if len(blocks) == 1:
        mixed = _within(module, blocks[0], *inputs)
    else:
        sizes = [block.clips * block.frames for block in blocks]
        parts = zip(blocks, *(torch.split(rows, sizes) for rows in inputs), strict=True)
        mixed = torch.cat([_within(module, *part) for part in parts])
    result: torch.Tensor = module.out_proj(mixed).view(hidden.shape)
    return result


def _within(
    module: Any, block: Block, hidden: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> torch.Tensor:
    """Apply attention inside one block, from and to [B * F, D]."""

    def by_head(rows: torch.Tensor) -> torch.Tensor:
        return rows.view(block.clips, block.frames, module.num_heads, -1)

    queries, keys, values = (by_head(rows).transpose(1, 2) for rows in (query, key, value))
    if block.bias is None:
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=block.mask)
    else:
        mixed = _attend_gated(queries, keys, values, _gate(module, by_head(hidden)), block.bias, block.mask)
    return mixed.transpose(1, 2).reshape(hidden.shape)


def _attend_gated(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    gate: torch.Tensor,
    position: torch.Tensor,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    learns = torch.is_grad_enabled() and gate.requires_grad and not position.requires_grad
    if learns and query.device.type == "cpu" and query.dtype == gate.dtype == torch.float32:
        mixed: torch.Tensor = GatedAttention.apply(query, key, value, gate, position, mask)  # type: ignore[no-untyped-call]
        return mixed
    bias = (gate * position).to(query.dtype)
    if mask is not None:
        bias = bias.masked_fill(~mask, float("-inf"))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)


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
