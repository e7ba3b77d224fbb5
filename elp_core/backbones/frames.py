"""How many frames a clip has, which frames are real, and their positions: what a clip's padding must not change."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from elp_core.backbones.convolutions import convolve_frames, suits
from elp_core.types import Samples


@dataclass(frozen=True)
class FrameLaw:
    """Frames of a clip by a chain of windows: each step counts the windows that fit into the result of the last one.

    A step is a convolution, a frame of the mel spectrogram, or the stacking of neighbouring frames. What does not fill
    a window at the end of a clip is left out.
    """

    kernels: Sequence[int]
    """Length of a window, step by step."""
    strides: Sequence[int]
    """From one window to the next."""

    @property
    def hop(self) -> Samples:
        """Return the samples from one frame to the next."""
        return math.prod(self.strides)

    def counts(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return the frames [B] of clips of `lengths` [B] samples."""
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            lengths = torch.div(lengths - kernel, stride, rounding_mode="floor") + 1
        return lengths

    def samples(self, frames: int) -> Samples:
        """Return the length in samples of the shortest clip that has so many frames."""
        for kernel, stride in reversed(list(zip(self.kernels, self.strides, strict=True))):
            frames = (frames - 1) * stride + kernel
        return frames


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
