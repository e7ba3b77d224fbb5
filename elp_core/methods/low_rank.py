"""LoRA and its relatives DoRA and PiSSA: low-rank updates of linear layers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from elp_core.backbones import Adapters, Backbone
from elp_core.backbones.families import FAMILIES
from elp_core.errors import ConfigError
from elp_core.methods.config import LoraConfig
from elp_core.methods.replaced_layers import private_network, sharing_copies
from elp_core.private_names import import_after_torchaudio

LORA_STD = 1e-3
"""Of the up-projections' weights. With peft's zeros the down-projections would have no gradient in the first step, like
a tensor that the loss does not depend on; with a value this small a fresh update is still near zero."""


class LoraNetwork(Adapters):
    """Low-rank updates of the chosen linear layers in every encoder layer (arXiv 2106.09685, section 4.1), by `peft`.

    They are in copies of the layers that share the backbone's weights. Our forward pass calls a layer's projections as
    modules, so updates of WavLM's queries and values take part; transformers' WavLM attention reads their weights
    instead, which leaves such updates without effect or gradient.

    `LoraConfig.magnitude` makes it DoRA (arXiv 2402.09353), `LoraConfig.start` PiSSA (arXiv 2404.02948).

    Raises:
        ConfigError: `peft` is not installed.
    """

    def __init__(self, backbone: Backbone, config: LoraConfig) -> None:
        super().__init__(backbone)
        try:
            peft = import_after_torchaudio("peft")
        except ModuleNotFoundError as error:
            wanted = "LoRA needs peft: install it with pip install elp-foundry[peft]"
            raise ConfigError("LoraConfig", [wanted]) from error
        self.touched = tuple(range(backbone.layer_count))
        self.layers = sharing_copies(backbone)
        names = FAMILIES[backbone.family].linears
        targets = [names.get(target, target) for target in config.targets]
        chosen = peft.LoraConfig(
            r=config.rank, lora_alpha=config.alpha, target_modules=targets, lora_dropout=config.dropout,
            use_dora=config.magnitude,
        )  # fmt: skip
        peft.inject_adapter_in_model(chosen, self.layers)
        for name, parameter in self.layers.named_parameters():
            if ".lora_B." in name:
                nn.init.normal_(parameter, std=LORA_STD)
        if config.start == "principal":
            for layer in [module for module in self.layers.modules() if hasattr(module, "lora_A")]:
                start_at_principal_components(layer)

    def network(self, backbone: Backbone) -> Backbone:
        """Return the copies in place of the layers."""
        return private_network(backbone, self.layers)


class WithoutComponents(nn.Module):
    """``W x - s · B₀ A₀ x``: a shared linear layer without the components at which an update starts.

    PiSSA (arXiv 2404.02948, section 3) trains ``W - s B₀ A₀ + s B A``, in which ``s B₀ A₀`` are the largest singular
    components of W. The authors and `peft` store ``W - s B₀ A₀`` in place of W. Here W is the backbone's and does not
    change; A₀ and B₀ are in the bundle, which therefore needs no second decomposition (the paper's appendix on the
    conversion to LoRA has the same sum).
    """

    def __init__(self, linear: nn.Linear, down: torch.Tensor, up: torch.Tensor, scale: float) -> None:
        super().__init__()
        self.linear = linear
        self.register_buffer("down", down)
        self.register_buffer("up", up)
        self._scale = scale

    @property
    def weight(self) -> torch.Tensor:
        """The shared weight [D', D], whose device and type `peft` reads."""
        return self.linear.weight

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map [..., D] to [..., D']."""
        components = F.linear(F.linear(inputs, self.get_buffer("down")), self.get_buffer("up"))
        result: torch.Tensor = self.linear(inputs) - self._scale * components
        return result


@torch.no_grad()
def start_at_principal_components(layer: Any) -> None:
    """Start a `peft` LoRA layer at the largest singular components of its weight, and take these out of the weight."""
    (name,) = layer.lora_A
    down, up, scale, linear = (
        layer.lora_A[name].weight,
        layer.lora_B[name].weight,
        layer.scaling[name],
        layer.base_layer,
    )
    # on the meta device the tensors come from a bundle
    if not down.is_meta:
        left, values, right = torch.linalg.svd(linear.weight.detach(), full_matrices=False)
        rank = len(down)
        root = (values[:rank] / scale).sqrt()
        down.copy_(root.unsqueeze(1) * right[:rank])
        up.copy_(left[:, :rank] * root)
    layer.base_layer = WithoutComponents(linear, down.detach().clone(), up.detach().clone(), scale)
