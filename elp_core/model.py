"""`ElpModel`: one frozen backbone, one set of adapters (or what another method trains), one task's head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from elp_core.adapters.state import load_state, parameters, state
from elp_core.backbones import CNN, Backbone, Prefix, layer_outputs, longest_prefix, resume
from elp_core.backbones.frames import blank, real_frames
from elp_core.methods import MethodConfig
from elp_core.methods.networks import make_adapters
from elp_core.tasks.base import Task


class ElpModel(nn.Module):
    """Frames for a task's head. B clips, T samples, F frames; padding never changes a result.

    A clip alone and in a batch agree to 1e-5. The backbone is shared and never changed, in memory neither, by any
    method: `detach` is a switch, and one backbone may serve many models.
    """

    def __init__(self, backbone: Backbone, config: MethodConfig, task: Task) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.task = task
        self.adapters = make_adapters(backbone, config)
        self.dim: int = self.adapters.dim
        """Dimensions of a frame that the head sees."""
        self.head = task.build_head(self.dim)
        self.attached = True

    @property
    def prefix(self) -> Prefix:
        """The longest prefix of the network that no adapter changes."""
        if not self.attached:
            return Prefix((self.backbone.layer_count,))
        if self.adapters.learns_input:
            return CNN
        return longest_prefix(self.adapters.touched, self.adapters.read)

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the frames of waveforms.

        Args:
            waveforms: Float32 [B, T], mono 16 kHz.
            lengths: Int64 [B], samples.

        Returns:
            Frames float32 [B, F, dim], zero beyond each clip's own, and frame counts int64 [B].

        Raises:
            AudioError: ``shape`` if the two do not fit each other, ``too_short`` if a clip gives no frame.
        """
        return self.from_features(*self.backbone.features(waveforms, lengths))

    def from_features(self, features: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return frames and counts as `forward`, from the backbone's CNN features [B, F, C] and their counts [B]."""
        return self.from_prefix(CNN, features, counts)

    def from_prefix(
        self, prefix: Prefix, values: torch.Tensor, counts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return frames and counts as `forward`, from the values of a prefix no longer than `self.prefix`.

        Args:
            prefix: The part of the network that is computed already.
            values: CNN features [B, F, C], or the prefix's n states [n, B, F, D].
            counts: Int64 [B], real frames.
        """
        adapters = self.adapters if self.attached else None
        network = self.adapters.network(self.backbone) if self.attached else self.backbone
        states: Iterator[torch.Tensor]
        if prefix.states:
            states = resume(network, prefix, values, counts, adapters)
        else:
            states = layer_outputs(network, values, counts, adapters)
        if adapters is not None:
            frames = adapters.gather(states, network)
        else:
            *_, last = states
            frames = network.finish(last)
        return blank(frames, real_frames(counts, frames.shape[1])), counts

    def detach(self) -> None:
        """Switch the adapters off: frames are the backbone's own last layer [B, F, D], as if nothing were attached."""
        self.attached = False

    def attach(self) -> None:
        """Switch the adapters on again."""
        self.attached = True

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return every trainable parameter by its tensor name in bundles; the backbone has none."""
        return parameters(self.adapters, self.head)

    def state(self) -> dict[str, torch.Tensor]:
        """Return every tensor of a bundle by name; these are the model's own, not copies."""
        return state(self.adapters, self.head)

    def load_state(self, tensors: Mapping[str, torch.Tensor], assign: bool = False) -> None:
        """Copy the tensors of `state` into the model; with `assign` the tensors themselves become the model's.

        Raises:
            BundleError: A tensor is missing, unknown, of another shape or dtype, or not finite; nothing changed.
        """
        load_state(self.adapters, self.head, tensors, assign)

    def parameter_count(self) -> int:
        """Return the number of trainable values, head included."""
        return sum(parameter.numel() for parameter in self.trainable().values())
