"""Configurations of the methods, by name and as plain values."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from elp_core._ranges import Checked, below, positive, within
from elp_core.config import ElpConfig, TrainConfig, from_dict, to_dict
from elp_core.errors import ConfigError


@dataclass(frozen=True)
class FullConfig:
    """Full fine-tuning: everything after the CNN learns, in copies of its own."""


@dataclass(frozen=True)
class WeightedSumConfig:
    """Nothing in the network learns; the head gets a learned weighted sum of its states (SUPERB, arXiv 2105.01051)."""


@dataclass(frozen=True)
class TopLayersConfig(Checked):
    """The last layers learn, in copies of their own."""

    count: int = within(2, 1)


LoraTarget = Literal["q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense"]


@dataclass(frozen=True)
class LoraConfig(Checked):
    """Low-rank updates of linear layers (arXiv 2106.09685), made by `peft`."""

    rank: int = within(8, 1)
    alpha: int = within(16, 1)
    """The update is scaled by alpha / rank."""
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    """Linear layers in each encoder layer: ``q_proj``, ``k_proj``, ``v_proj``, ``out_proj`` of the attention,
    ``intermediate_dense`` and ``output_dense`` of the feed-forward block."""
    dropout: float = below(0.1)

    def other_faults(self) -> list[str]:
        """Return the fault of targets that no encoder layer has."""
        known = get_args(LoraTarget)
        if self.targets and set(self.targets) <= set(known):
            return []
        return [f"targets is {list(self.targets)}, expected some of {', '.join(known)}"]


@dataclass(frozen=True)
class BottleneckConfig(Checked):
    """Bottlenecks after attention and after the feed-forward block; norms are tuned too (arXiv 1902.00751)."""

    bottleneck: int = positive(64)
    dropout: float = below(0.1)
    """Inside the bottlenecks while training."""


MethodConfig = ElpConfig | FullConfig | WeightedSumConfig | TopLayersConfig | LoraConfig | BottleneckConfig

KINDS: dict[str, type[Any]] = {
    "elp": ElpConfig,
    "full": FullConfig,
    "weighted-sum": WeightedSumConfig,
    "top-layers": TopLayersConfig,
    "lora": LoraConfig,
    "bottleneck": BottleneckConfig,
}
"""Values of ``method`` in plain values."""


def method_to_dict(config: MethodConfig) -> dict[str, Any]:
    """Return plain JSON values; ``method`` names the kind, and is left out for ELP."""
    name = next(name for name, kind in KINDS.items() if kind is type(config))
    return to_dict(config) if name == "elp" else {"method": name, **to_dict(config)}


def method_from_dict(values: Mapping[str, Any], where: str = "configuration") -> MethodConfig:
    """Build a configuration from the result of `method_to_dict`.

    Raises:
        ConfigError: The method is unknown, or as in `elp_core.config.from_dict`.
    """
    name = values.get("method", "elp")
    if name not in KINDS:
        raise ConfigError(where, [f"method is {name!r}, expected one of {', '.join(KINDS)}"])
    config: MethodConfig = from_dict(KINDS[name], {k: v for k, v in values.items() if k != "method"}, where)
    return config


@dataclass(frozen=True)
class Method:
    """One way to fit a backbone to a task."""

    config: MethodConfig
    about: str
    """One line for people."""
    lr_encoder: float | None = None
    """Peak learning rate inside the encoder instead of `TrainConfig`'s: pre-trained weights need small steps."""

    def rates(self, train: TrainConfig) -> TrainConfig:
        """Return `train` with the method's own rate."""
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
