"""Frames to one vector a clip. Frames beyond a clip's own count are ignored.

B clips, F frames, D dimensions; `counts` int64 [B] are the real frames. Sums are in float32 for any input type.
"""

import torch
from torch import nn

from elp_core.backbones.frames import blank, real_frames

_LEAST_VARIANCE = 1e-6


def masked_mean(frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return the mean over time: [B, F, D] to float32 [B, D]."""
    kept = blank(frames.float(), real_frames(counts, frames.shape[1]))
    return kept.sum(1) / counts.to(frames.device).clamp(min=1).unsqueeze(1)


def masked_statistics(frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return mean and deviation over time (statistics pooling, Snyder et al. 2018): [B, F, D] to float32 [B, 2 D]."""
    mean = masked_mean(frames, counts)
    variance = masked_mean((frames.float() - mean.unsqueeze(1)).square(), counts)
    return torch.cat([mean, variance.clamp(min=_LEAST_VARIANCE).sqrt()], dim=1)


class AttentivePooling(nn.Module):
    """Attentive statistics pooling (Okabe et al. 2018, arXiv 1803.10963): weighted mean and deviation over time."""

    def __init__(self, dim: int, hidden: int = 128) -> None:
        super().__init__()
        # no bias at the end: the softmax over time would cancel it
        self.score = nn.Sequential(nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, dim, bias=False))

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Return [B, 2 D] of [B, F, D]."""
        real = torch.arange(frames.shape[1], device=frames.device) < counts.to(frames.device).unsqueeze(1)
        scores = self.score(frames).masked_fill(~real.unsqueeze(2), float("-inf"))
        weights = scores.softmax(dim=1)
        mean = (weights * frames).sum(1)
        variance = (weights * (frames - mean.unsqueeze(1)).square()).sum(1)
        return torch.cat([mean, variance.clamp(min=_LEAST_VARIANCE).sqrt()], dim=1)
