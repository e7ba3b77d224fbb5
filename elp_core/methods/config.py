"""Configurations of the methods beside ELP, and all of them as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from elp_core._ranges import below_one, outside, positive, refuse
from elp_core.config import ElpConfig, from_dict, to_dict
from elp_core.errors import ConfigError


@dataclass(frozen=True)
class FullConfig:
    """Full fine-tuning: everything after the CNN learns, in copies of one's own."""


@dataclass(frozen=True)
class WeightedSumConfig:
    """Nothing of the network learns; the head sees a learned weighted sum of its states (SUPERB, arXiv 2105.01051)."""


@dataclass(frozen=True)
class TopLayersConfig:
    """The last layers learn, in copies of one's own.

    Raises:
        ConfigError: for a count under 1.
    """

    count: int = 2

    def __post_init__(self) -> None:
        refuse(self, outside(self, 1, math.inf, "count"))


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank updates of linear layers (arXiv 2106.09685), made by `peft`.

    Raises:
        ConfigError: with every value out of its range.
    """

    rank: int = 8
    alpha: int = 16
    """The update is scaled by alpha / rank."""
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    """Linear layers in each encoder layer: ``q_proj``, ``k_proj``, ``v_proj``, ``out_proj`` of the attention,
    ``intermediate_dense`` and ``output_dense`` of the feed-forward block."""
    dropout: float = 0.1

    def __post_init__(self) -> None:
        faults = outside(self, 1, math.inf, "rank", "alpha") + below_one(self, "dropout")
        strange = [name for name in self.targets if name not in LORA_TARGETS]
        if strange or not self.targets:
            faults.append(f"targets is {list(self.targets)}, expected some of {', '.join(LORA_TARGETS)}")
        refuse(self, faults)


LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense")


@dataclass(frozen=True)
class BottleneckConfig:
    """Bottlenecks after attention and after the feed-forward block, norms tuned too (arXiv 1902.00751).

    Raises:
        ConfigError: with every value out of its range.
    """

    bottleneck: int = 64
    dropout: float = 0.1
    """Inside the bottlenecks while training."""

    def __post_init__(self) -> None:
        refuse(self, positive(self, "bottleneck") + below_one(self, "dropout"))


MethodConfig = ElpConfig | FullConfig | WeightedSumConfig | TopLayersConfig | LoraConfig | BottleneckConfig

KINDS: dict[str, type[Any]] = {
    "elp": ElpConfig,
    "full": FullConfig,
    "weighted-sum": WeightedSumConfig,
    "top-layers": TopLayersConfig,
    "lora": LoraConfig,
    "bottleneck": BottleneckConfig,
}
"""What ``method`` says in plain values."""
assert set(KINDS.values()) == set(get_args(MethodConfig))


def method_to_dict(config: MethodConfig) -> dict[str, Any]:
    """Plain JSON values; ``method`` names the kind, and is left out for ELP."""
    name = next(name for name, kind in KINDS.items() if kind is type(config))
    return to_dict(config) if name == "elp" else {"method": name, **to_dict(config)}


def method_from_dict(values: Mapping[str, Any], where: str = "configuration") -> MethodConfig:
    """The inverse of `method_to_dict`.

    Raises:
        ConfigError: for a method of no known name, and as `elp_core.config.from_dict`.
    """
    name = values.get("method", "elp")
    if name not in KINDS:
        raise ConfigError(where, [f"method is {name!r}, expected one of {', '.join(KINDS)}"])
    config: MethodConfig = from_dict(KINDS[name], {k: v for k, v in values.items() if k != "method"}, where)
    return config
