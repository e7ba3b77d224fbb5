"""ELP and the methods that it is compared with: configurations in `methods.config`, networks in `methods.networks`.

`inserted_parts`, `low_rank` and `replaced_layers` have the networks by kind, `networks` the table of them.

`METHODS` names them all; `elp_core.assemble.build` makes a model from any of their configurations. Importing this
package does not load torch.
"""

from elp_core.methods.config import METHODS, Method, MethodConfig

__all__ = ["METHODS", "Method", "MethodConfig"]
