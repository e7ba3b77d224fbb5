"""What else one may train on a backbone, to compare ELP with it: configurations here, one module a method beside them.

`METHODS` names them all; `elp_core.assemble.build` makes a model from any of their configurations. Importing this needs
no torch.
"""

from elp_core.methods.config import (
    BottleneckConfig,
    FullConfig,
    LoraConfig,
    MethodConfig,
    TopLayersConfig,
    WeightedSumConfig,
    method_from_dict,
    method_to_dict,
)
from elp_core.methods.registry import METHODS, Method

__all__ = [
    "METHODS",
    "BottleneckConfig",
    "FullConfig",
    "LoraConfig",
    "Method",
    "MethodConfig",
    "TopLayersConfig",
    "WeightedSumConfig",
    "method_from_dict",
    "method_to_dict",
]
