"""A roll-out to many sites, with adapters on one backbone or with a full copy of the model for each site and task."""

from collections.abc import Sequence
from dataclasses import dataclass

FLOAT_BYTES = 4
"""Of a weight in float32."""


@dataclass(frozen=True)
class FullCopies:
    """Bytes of weights: stored, and in the memory of a machine that serves all of them."""

    sites: int
    tasks: int
    backbone_bytes: float
    """One copy of the backbone in float32."""
    bundle_bytes: float
    """The adapters of one site."""

    @property
    def copies_bytes(self) -> float:
        """Return the size of one full copy for each site and task."""
        return self.sites * self.tasks * self.backbone_bytes

    @property
    def adapters_bytes(self) -> float:
        """Return the size of the backbone, once, and the adapters of each site."""
        return self.backbone_bytes + self.sites * self.bundle_bytes

    @property
    def factor(self) -> float:
        """Return how many times smaller the adapters are."""
        return self.copies_bytes / self.adapters_bytes


def full_copies(sites: int, backbone_parameters: float | None, bundles: Sequence[float]) -> FullCopies | None:
    """Return the comparison for the tasks whose bundle was measured; None if nothing was."""
    if not backbone_parameters or not bundles:
        return None
    return FullCopies(sites, len(bundles), FLOAT_BYTES * backbone_parameters, sum(bundles))
