"""The head of speech recognition: letters of frames, each with a look at its neighbourhood."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from elp_core.dropout import Dropout

KERNEL = 5
"""Frames that one convolution reads, spread by its dilation."""


class LetterHead(nn.Module):
    """A time-delay network (Waibel et al. 1989; dilated as in Peddinti et al. 2015) over narrowed frames.

    ``h ← h + gelu(conv_d(LN(h)))`` for each dilation d, then a linear layer. With dilations 1, 2, 4 a frame sees 29
    frames, 0.6 s: a word's length, so that letters follow each other as they do in words.
    """

    def __init__(self, dim: int, outputs: int, width: int, dilations: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.down = nn.Linear(dim, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in dilations])
        self.convs = nn.ModuleList([nn.Conv1d(width, width, KERNEL, padding="same", dilation=d) for d in dilations])
        self.letters = nn.Linear(width, outputs)

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Logits [B, F, N] of frames [B, F, D] with `counts` [B] real frames; no convolution reads beyond these."""
        places = torch.arange(frames.shape[1], device=frames.device)
        real = (places < counts.to(frames.device).unsqueeze(1)).unsqueeze(2)
        hidden = self.down(self.dropout(frames))
        for norm, conv in zip(self.norms, self.convs, strict=True):
            near = conv((norm(hidden) * real).transpose(1, 2)).transpose(1, 2)
            hidden = hidden + self.dropout(F.gelu(near))
        logits: torch.Tensor = self.letters(hidden)
        return logits
