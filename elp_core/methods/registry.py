"""The methods by name, as they are compared."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from elp_core.config import ElpConfig, TrainConfig
from elp_core.methods.config import (
    BottleneckConfig,
    FullConfig,
    LoraConfig,
    MethodConfig,
    TopLayersConfig,
    WeightedSumConfig,
)


@dataclass(frozen=True)
class Method:
    """One way to fit a backbone to a task."""

    config: MethodConfig
    about: str
    """One line for people."""
    lr_encoder: float | None = None
    """Peak learning rate inside the encoder where `TrainConfig`'s does not do: pre-trained weights want small steps."""

    def rates(self, train: TrainConfig) -> TrainConfig:
        """`train` with the method's own rate."""
        return train if self.lr_encoder is None else dataclasses.replace(train, lr_encoder=self.lr_encoder)


METHODS: dict[str, Method] = {
    "full": Method(FullConfig(), "full fine-tuning, CNN frozen", 1e-4),
    "weighted-sum": Method(WeightedSumConfig(), "frozen; weighted sum of all states (SUPERB)"),
    "top-2": Method(TopLayersConfig(2), "the last two layers", 1e-4),
    "lora-attention": Method(LoraConfig(), "LoRA, rank 8, on queries and values"),
    "lora-ffn": Method(LoraConfig(targets=("intermediate_dense", "output_dense")), "LoRA, rank 8, feed-forward block"),
    "bottleneck": Method(BottleneckConfig(), "Houlsby bottlenecks after attention and feed-forward block"),
    "e": Method(ElpConfig(layer=None, prompt=None), "E-adapters and norms"),
    "l": Method(ElpConfig(encoder=None, prompt=None, tune_norms=False), "L-adapters"),
    "el": Method(ElpConfig(prompt=None), "E- and L-adapters, norms"),
    "elp": Method(ElpConfig(), "E-, L- and P-adapters, norms"),
}
"""Build one with ``build(backbone, METHODS[name].config, task, seed)`` of `elp_core.assemble`."""
