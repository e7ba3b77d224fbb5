"""Real frames and their positions: what a clip's padding must not change."""

from typing import Any

import torch

from elp_core.backbones.convolutions import convolve_frames, suits


def real_frames(counts: torch.Tensor, frames: int) -> torch.Tensor | None:
    """Return bool [B, F], true if a frame is real; None if all are."""
    if int(counts.min()) >= frames:
        return None
    return torch.arange(frames, device=counts.device) < counts.unsqueeze(1)


def blank(frames: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    """Set the frames of [B, F, D] that are not real to zero."""
    return frames if real is None else frames.masked_fill(~real.unsqueeze(2).to(frames.device), 0.0)


def positions(module: Any, hidden: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    """Return the convolutional position embedding of `hidden` [B, F, D], whose frames that are not real are zero."""
    if hasattr(module, "layers"):  # data2vec: a stack; each layer would read the padding of the one before
        for layer in module.layers:
            hidden = blank(layer(hidden.transpose(1, 2)).transpose(1, 2), real)
        return hidden
    if getattr(module, "batch_norm", None) is not None:  # it maps zero to something else
        hidden = blank(module.batch_norm(hidden.transpose(1, 2)).transpose(1, 2), real)
    if suits(module.conv, hidden):
        near: torch.Tensor = module.activation(convolve_frames(module.conv, hidden))
        return near
    result: torch.Tensor = module.activation(module.padding(module.conv(hidden.transpose(1, 2))))
    return result.transpose(1, 2)
