"""Parts of an encoder layer by their role, and the convolution of a Conformer block.

w2v-BERT 2.0 has Conformer blocks (Gulati et al. 2020, arXiv 2005.08100): half a feed-forward block, attention,
convolution, half a feed-forward block, each added to its input, and a norm at the end. Its convolution is causal and
normalises each frame alone, so a clip's padding never reaches a real frame.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from elp_core.backbones.attention import Block


def attention_of(layer: Any) -> nn.Module:
    """Return the self-attention of an encoder layer."""
    found: nn.Module = layer.self_attn if hasattr(layer, "self_attn") else layer.attention
    return found


def norms_of(layer: Any) -> tuple[nn.Module, nn.Module]:
    """Return the layer norms that adapters may replace: the one of the attention, and the layer's final one."""
    attention: nn.Module = layer.self_attn_layer_norm if hasattr(layer, "self_attn") else layer.layer_norm
    return attention, layer.final_layer_norm


def convolve_within(module: Any, hidden: torch.Tensor, blocks: Sequence[Block]) -> torch.Tensor:
    """Apply a Conformer's convolution module to [..., D], the frames of the clips of all blocks in their order."""
    # a convolution over one frame is a product with its weights, for which frames need not be transposed
    wide = F.linear(module.layer_norm(hidden), module.pointwise_conv1.weight.squeeze(2))
    gated = F.glu(wide, dim=-1).reshape(-1, hidden.shape[-1])
    sizes = [block.clips * block.frames for block in blocks]
    parts = [
        _causal(module.depthwise_conv, rows.view(block.clips, block.frames, -1)).reshape(rows.shape)
        for block, rows in zip(blocks, torch.split(gated, sizes), strict=True)
    ]
    mixed = module.activation(module.depthwise_layer_norm(torch.cat(parts)))
    return F.linear(mixed, module.pointwise_conv2.weight.squeeze(2)).view(hidden.shape)


def _causal(conv: Any, frames: torch.Tensor) -> torch.Tensor:
    """Convolve [B, F, D] channel by channel over each frame and those before it."""
    padded = F.pad(frames.transpose(1, 2), (conv.kernel_size[0] - 1, 0))
    result: torch.Tensor = conv(padded).transpose(1, 2)
    return result
