"""`ElpModel`: one frozen backbone, one set of adapters (or what another method trains), one task's head."""

from collections.abc import Mapping

import torch
from torch import nn

from elp_core.backbones import CNN, Adapters, Backbone, Prefix, layer_outputs, longest_prefix, resume
from elp_core.backbones.frames import blank, real_frames
from elp_core.errors import BundleError, first_faults
from elp_core.methods import MethodConfig
from elp_core.methods.networks import NETWORKS
from elp_core.tasks.base import Task, weighs_layers


class ElpModel(nn.Module):
    """Frames for a task's head. B clips, T samples, F frames; padding never changes a result.

    A clip alone and in a batch agree to 1e-5. The backbone is shared and never changed, in memory neither, by any
    method: `detach` is a switch, and one backbone may serve many models.

    Tensors are named ``e.<layer>.down|up|norm.weight|bias``, ``l.<layer>.down|norm.weight|bias``, ``l.weights``,
    ``p.features``, ``norm.<layer>.attention|final.weight|bias`` and ``head.*``; other methods name theirs by module.

    Raises:
        ConfigError: The backbone does not have what the configuration asks for.
    """

    def __init__(self, backbone: Backbone, config: MethodConfig, task: Task) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.task = task
        self.adapters = NETWORKS[type(config)](backbone, config)
        layered = task if weighs_layers(task) else None
        if layered:
            self.adapters.keep_apart()
        self.dim: int = self.adapters.dim
        """Dimensions of a frame that the head sees; of all layers if it weighs them itself."""
        layers = len(self.adapters.read)
        self.head = layered.build_layer_head(self.dim, layers) if layered else task.build_head(self.dim)
        self.attached = True

    @property
    def prefix(self) -> Prefix:
        """The longest prefix of the network that no adapter changes."""
        active = self._active
        return CNN if active.learns_input else longest_prefix(active.touched, active.read)

    @property
    def _active(self) -> Adapters:
        return self.adapters if self.attached else Adapters(self.backbone)

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return frames float32 [B, F, dim], zero beyond each clip's own, and frame counts int64 [B].

        `waveforms` are float32 [B, T], mono 16 kHz, `lengths` int64 [B], their samples.

        Raises:
            AudioError: ``shape`` if the two do not fit each other, ``too_short`` if a clip gives no frame.
        """
        return self.from_prefix(CNN, *self.backbone.features(waveforms, lengths))

    def from_prefix(
        self, prefix: Prefix, values: torch.Tensor, counts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return frames and counts as `forward`, from the values of a prefix no longer than `self.prefix`.

        These are CNN features [B, F, C], or the prefix's n states [n, B, F, D], with `counts` int64 [B] real frames.
        """
        adapters = self._active
        network = adapters.network(self.backbone)
        if prefix.states:
            states = resume(network, prefix, values, counts, adapters)
        else:
            states = layer_outputs(network, values, counts, adapters)
        frames = adapters.gather(states, network)
        return blank(frames, real_frames(counts, frames.shape[1])), counts

    def detach(self) -> None:
        """Switch the adapters off: frames are the backbone's own last layer [B, F, D], as if nothing were attached."""
        self.attached = False

    def attach(self) -> None:
        """Switch the adapters on again."""
        self.attached = True

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return every trainable parameter by its tensor name in bundles; the backbone has none."""
        found = {name: parameter for name, parameter in self.adapters.named_parameters() if parameter.requires_grad}
        return found | {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}

    def state(self) -> dict[str, torch.Tensor]:
        """Return every tensor of a bundle by name; these are the model's own, not copies."""
        frozen = {name for name, parameter in self.adapters.named_parameters() if not parameter.requires_grad}
        found = {name: tensor for name, tensor in self.adapters.state_dict().items() if name not in frozen}
        return found | {f"head.{name}": tensor for name, tensor in self.head.state_dict().items()}

    def load_state(self, tensors: Mapping[str, torch.Tensor], assign: bool = False) -> None:
        """Copy the tensors of `state` into the model; with `assign` the tensors themselves become the model's.

        Raises:
            BundleError: A tensor is missing, unknown, of another shape or dtype, or not finite; nothing changed.
        """
        own = self.state()
        faults = [f"{name} is missing" for name in own.keys() - tensors.keys()]
        faults += [f"{name} has no place in this adapter" for name in tensors.keys() - own.keys()]
        for name in own.keys() & tensors.keys():
            got, expected = tensors[name], own[name]
            if got.shape != expected.shape or got.dtype != expected.dtype:
                faults.append(f"{name} is {_form(got)}, expected {_form(expected)}")
            elif got.is_floating_point() and not bool(got.isfinite().all()):
                faults.append(f"{name} has values that are NaN or infinite")
        if faults:
            raise BundleError(f"the tensors do not fit the adapter's configuration: {first_faults(sorted(faults))}")
        of_head = {name.removeprefix("head."): value for name, value in tensors.items() if name.startswith("head.")}
        self.head.load_state_dict(of_head, assign=assign)
        # not strict: no bundle contains what a method shares with the backbone
        rest = {name: value for name, value in tensors.items() if not name.startswith("head.")}
        self.adapters.load_state_dict(rest, strict=False, assign=assign)

    def parameter_count(self) -> int:
        """Return the number of trainable values, head included."""
        return sum(parameter.numel() for parameter in self.trainable().values())


def _form(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
