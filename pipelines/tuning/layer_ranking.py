"""The encoder's layers by their learned weights: L-adapters alone, trained on values of the backbone that are kept.

Nothing inside the encoder learns and the clips are unchanged, so the backbone runs once for each clip. The search then
puts adapters into the layers with the largest weights (FindAdaptNet, ICASSP 2023).
"""

from collections.abc import Sequence
from typing import Any

from elp_core.config import ElpConfig, LayerAdapterConfig, to_dict
from elp_core.task_specs import LAYER_HEADS
from pipelines.tuning.search_space import Candidate

WIDTH = 64
"""Width of the L-adapters that rank the layers."""


def ranking_candidate(present: Candidate, options: Any) -> Candidate:
    """Return the configuration whose training ranks the layers: narrow L-adapters on all layers, nothing else.

    `options` are those of the slot's task. A head that weighs the layers itself is replaced by the default one.
    """
    config = ElpConfig(encoder=None, layer=LayerAdapterConfig(WIDTH), prompt=None, tune_norms=False)
    weighs = getattr(options, "head", "") in LAYER_HEADS
    return Candidate(to_dict(config), present.train, {"head": type(options)().head} if weighs else {})


def ranked_layers(shares: Sequence[float]) -> tuple[int, ...]:
    """Return the layers with the largest share first; of equal ones the lower layer, which costs less above it."""
    return tuple(sorted(range(len(shares)), key=lambda layer: (-shares[layer], layer)))
