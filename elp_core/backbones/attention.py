"""Self-attention of every family over the backbone's own projections, by PyTorch's fused kernel.

WavLM adds a gated relative position bias (Chen et al. 2022, arXiv 2110.13900, section III-B); transformers compute it
eagerly, here it is the additive mask of the same kernel.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from elp_core.backbones.gated import GatedAttention


def attend(
    module: Any, hidden: torch.Tensor, mask: torch.Tensor | None, position_bias: torch.Tensor | None
) -> torch.Tensor:
    """Multi-head self-attention.

    Args:
        module: a transformers attention module of one of the families.
        hidden: [B, F, D].
        mask: bool [B, 1, 1, F], true where a frame is real; None where all are.
        position_bias: [H, F, F] of WavLM's first layer, else None.

    Returns:
        [B, F, D].
    """
    batch, frames, width = hidden.shape
    heads, head_width = module.num_heads, width // module.num_heads

    def split(values: torch.Tensor) -> torch.Tensor:
        return values.view(batch, frames, heads, head_width).transpose(1, 2)

    query, key, value = (split(p(hidden)) for p in (module.q_proj, module.k_proj, module.v_proj))
    if position_bias is None:
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    else:
        mixed = _attend_gated(query, key, value, _gate(module, split(hidden)), position_bias, mask)
    result: torch.Tensor = module.out_proj(mixed.transpose(1, 2).reshape(batch, frames, width))
    return result


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
    """Relative position bias [H, F, F] where the family has one (WavLM keeps it in its first layer), else None."""
    if not hasattr(module, "rel_attn_embed"):
        return None
    bias: torch.Tensor = module.compute_bias(frames, frames)
    return bias


def _gate(module: Any, heads: torch.Tensor) -> torch.Tensor:
    """[B, H, F, 1] from hidden states by head [B, H, F, D / H]."""
    projected = module.gru_rel_pos_linear(heads).unflatten(-1, (2, 4)).sum(-1)
    update, reset = projected.sigmoid().chunk(2, dim=-1)
    gate: torch.Tensor = update * (reset * module.gru_rel_pos_const - 1.0) + 2.0
    return gate
