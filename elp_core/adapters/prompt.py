"""P-adapter: learnable pseudo features beside the CNN's."""

from __future__ import annotations

import torch
from torch import nn

from elp_core.config import PromptPlace


class Prompt(nn.Module):
    """`count` pseudo features in the CNN's feature space, the same for every clip (arXiv 2407.21066, section III).

    They are joined before the feature projection: in front of a clip's frames (prefix) or right behind its last real
    one (suffix), where the padding of a longer batch would begin. The encoder treats them as frames; what it makes of
    them is dropped before the head.
    """

    def __init__(self, count: int, channels: int, place: PromptPlace) -> None:
        super().__init__()
        self.count = count
        self.place = place
        self.features = nn.Parameter(torch.randn(count, channels))
        """Unit variance: what the norm at the head of the feature projection makes of real features."""

    def join(self, features: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [B, F, C] with `counts` [B] real ones to [B, F + n, C] and ``counts + n``."""
        batch, _, channels = features.shape
        pseudo = self.features.to(features.dtype).expand(batch, -1, -1)
        if self.place == "prefix":
            return torch.cat([pseudo, features], dim=1), counts + self.count
        room = torch.cat([features, features.new_zeros(batch, self.count, channels)], dim=1)
        places = counts.to(features.device).unsqueeze(1) + torch.arange(self.count, device=features.device)
        return room.scatter(1, places.unsqueeze(2).expand(-1, -1, channels), pseudo), counts + self.count

    def drop(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames [B, F + n, D] without the pseudo features', [B, F, D]; a suffix leaves some beyond the counts."""
        return frames[:, self.count :] if self.place == "prefix" else frames[:, : -self.count]
