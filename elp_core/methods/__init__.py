"""ELP and the methods that it is compared with: their configurations here, their networks in `methods.networks`.

`METHODS` names them all; `elp_core.assemble.build` makes a model from any of their configurations. Importing this
package does not load torch.
"""

from elp_core.methods.config import (
    METHODS,
    BottleneckConfig,
    FullConfig,
    LoraConfig,
    Method,
    MethodConfig,
    TopLayersConfig,
    WeightedSumConfig,
    method_from_dict,
    method_to_dict,
)

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
