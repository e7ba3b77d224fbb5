"""From a method's configuration to what is put into the network."""

from __future__ import annotations

from elp_core.adapters import ElpAdapters
from elp_core.backbones import Backbone
from elp_core.config import ElpConfig
from elp_core.methods.bottleneck import BottleneckNetwork
from elp_core.methods.config import BottleneckConfig, FullConfig, LoraConfig, MethodConfig, TopLayersConfig
from elp_core.methods.full import FullNetwork, TopNetwork
from elp_core.methods.lora import LoraNetwork
from elp_core.methods.weighted import WeightedSum

MethodAdapters = ElpAdapters | FullNetwork | TopNetwork | WeightedSum | LoraNetwork | BottleneckNetwork


def make_adapters(backbone: Backbone, config: MethodConfig) -> MethodAdapters:
    """What `config` adds to `backbone` or puts in its place; the backbone is read, never changed.

    Raises:
        ConfigError: where the configuration asks for what the backbone does not have.
    """
    match config:
        case ElpConfig():
            return ElpAdapters(backbone, config)
        case FullConfig():
            return FullNetwork(backbone)
        case TopLayersConfig():
            return TopNetwork(backbone, config)
        case LoraConfig():
            return LoraNetwork(backbone, config)
        case BottleneckConfig():
            return BottleneckNetwork(backbone, config)
        case _:
            return WeightedSum(backbone)
