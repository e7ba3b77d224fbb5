"""`ElpModel`: one frozen backbone, one set of adapters, one task's head."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from elp_core.adapters import ElpAdapters
from elp_core.adapters.state import load_state, parameters, state
from elp_core.backbones import Backbone, layer_outputs
from elp_core.backbones.forward import blank, real_frames
from elp_core.config import ElpConfig
from elp_core.tasks.base import Task


class ElpModel(nn.Module):
    """Frames for a task's head. B clips, T samples, F frames; padding never changes a result.

    A clip alone and in a batch agree to 1e-5. The backbone is shared and stays as it is, in memory too: `detach` is a
    switch, and one backbone may serve many models.
    """

    def __init__(self, backbone: Backbone, config: ElpConfig, task: Task) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.task = task
        self.adapters = ElpAdapters(backbone, config)
        self.dim: int = backbone.hidden_size if config.layer is None else config.layer.width
        """Dimensions of a frame that the head sees."""
        self.head = task.build_head(self.dim)
        self.attached = True

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames of waveforms.

        Args:
            waveforms: float32 [B, T], mono 16 kHz.
            lengths: int64 [B], samples.

        Returns:
            Frames float32 [B, F, dim], zero beyond each clip's own, and frame counts int64 [B].

        Raises:
            AudioError: ``too_short`` where a clip gives no frame.
        """
        return self.from_features(*self.backbone.features(waveforms, lengths))

    def from_features(self, features: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames and counts as in `forward`, from the backbone's CNN features [B, F, C] and their counts [B]."""
        adapters = self.adapters if self.attached else None
        outputs = layer_outputs(self.backbone, features, counts, adapters)
        next(outputs)  # the encoder's input; the layers follow
        if adapters is not None and adapters.l is not None:
            frames = adapters.l(outputs)
        else:
            *_, last = outputs
            frames = self.backbone.finish(last)
        return blank(frames, real_frames(counts, frames.shape[1])), counts

    def detach(self) -> None:
        """Switch the adapters off: frames are the backbone's own last layer [B, F, D], as if nothing were attached."""
        self.attached = False

    def attach(self) -> None:
        """Switch the adapters on again."""
        self.attached = True

    def trainable(self) -> dict[str, nn.Parameter]:
        """Every parameter that learns, by the bundle's tensor names; the backbone has none."""
        return parameters(self.adapters, self.head)

    def state(self) -> dict[str, torch.Tensor]:
        """Every tensor that a bundle keeps, by name; these are the model's own, not copies."""
        return state(self.adapters, self.head)

    def load_state(self, tensors: Mapping[str, torch.Tensor], assign: bool = False) -> None:
        """Copy in what `state` gave; with `assign` the tensors themselves become the model's.

        Raises:
            BundleError: where a tensor is missing, unknown, of another shape or dtype, or not finite; nothing changed.
        """
        load_state(self.adapters, self.head, tensors, assign)

    def parameter_count(self) -> int:
        """Number of trainable values, head included."""
        return sum(parameter.numel() for parameter in self.trainable().values())
