"""Join clips of different lengths to one padded tensor."""

from collections.abc import Sequence

import numpy as np
import torch

from elp_core.audio import Waveform


def collate(waveforms: Sequence[Waveform]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad B waveforms, float32 [samples], with zeros at their ends; return float32 [B, T] and int64 [B] counts."""
    lengths = [len(waveform) for waveform in waveforms]
    padded = torch.zeros(len(waveforms), max(lengths, default=0))
    for row, waveform in zip(padded, waveforms, strict=True):
        row[: len(waveform)] = torch.from_numpy(np.ascontiguousarray(waveform))
    return padded, torch.tensor(lengths, dtype=torch.int64)


def collate_features(features: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad the values of a prefix for B clips, [frames, C] or [n, frames, C], with zeros at their ends.

    Return float32 [B, F, C] or [n, B, F, C] on the features' device, with F the longest, and int64 [B] frame counts.
    """
    counts = [item.shape[-2] for item in features]
    *states, _, channels = features[0].shape
    padded = torch.zeros(*states, len(features), max(counts), channels, device=features[0].device)
    for row, (item, count) in enumerate(zip(features, counts, strict=True)):
        padded[..., row, :count, :] = item
    return padded, torch.tensor(counts, dtype=torch.int64)
