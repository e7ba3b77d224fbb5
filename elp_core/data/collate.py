"""Clips of different lengths as one padded tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from elp_core.audio import Waveform


def collate(waveforms: Sequence[Waveform]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad waveforms with zeros at their ends.

    Args:
        waveforms: B arrays float32 [samples].

    Returns:
        float32 [B, T] with T the longest, and int64 [B] sample counts.
    """
    lengths = [len(waveform) for waveform in waveforms]
    padded = torch.zeros(len(waveforms), max(lengths, default=0))
    for row, waveform in zip(padded, waveforms, strict=True):
        row[: len(waveform)] = torch.from_numpy(np.ascontiguousarray(waveform))
    return padded, torch.tensor(lengths, dtype=torch.int64)


def collate_features(features: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad CNN features [frames, channels] of B clips to float32 [B, F, channels]; with them int64 [B] frame counts."""
    counts = torch.tensor([len(item) for item in features], dtype=torch.int64)
    padded = torch.nn.utils.rnn.pad_sequence([item.float() for item in features], batch_first=True)
    return padded, counts
