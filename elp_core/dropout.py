"""Dropout that costs little on the CPU, where PyTorch draws each decision by itself and on one thread."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

_STEPS = 2**16
"""Probabilities are kept to 1 in this many: a decision takes 16 random bits, and four are drawn at once."""


def drop(values: torch.Tensor, probability: float, training: bool) -> torch.Tensor:
    """`values` [...] with each zero by chance and the others scaled up (Srivastava et al. 2014), as in PyTorch.

    On the CPU the probability is rounded to 1/65536 and the scale goes by what it is then, so that the mean stays. The
    random numbers are of PyTorch's generator; the same seed gives others than `torch.nn.functional.dropout`.

    Args:
        values: float [...].
        probability: of a zero, 0 or more and under 1.
        training: where false, `values` come back as they are.
    """
    dropped = round(probability * _STEPS)
    if not training or values.device.type != "cpu" or not 0 < dropped < _STEPS:
        return F.dropout(values, probability, training)
    count = values.numel()
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.int16)[:count].view(values.shape) >= dropped - _STEPS // 2
    return values * (kept * (_STEPS / (_STEPS - dropped))).to(values.dtype)


class Dropout(nn.Dropout):
    """`drop` as a module."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Values [...], each zero by chance while training."""
        return drop(input, self.p, self.training)
