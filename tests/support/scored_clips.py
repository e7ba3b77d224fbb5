"""Measured clips of a site, and the sources of a reference that they are compared with."""

from __future__ import annotations

import numpy as np

from pipelines.monitoring.block_scores import ScoredClip
from pipelines.monitoring.reference_record import ReferenceSource

SOURCE = ReferenceSource("plant-a/asr", 3, "sha256:b", "sha256:f", "golden/plant-a/asr/v1", "sha256:g", "data/v1", 2)


def scored_clips(blocks: int, name: str, snr: float = 20.0, seed: int = 0) -> list[ScoredClip]:
    """Return two clips of each of so many sessions."""
    rng = np.random.default_rng([seed, len(name)])
    return [
        ScoredClip(
            f"{place:02}{name}{take}",
            f"{name} {place}",
            {"snr_db": snr + float(rng.standard_normal()), "level_db": float(rng.standard_normal())},
            rng.standard_normal(4).astype(np.float32),
        )
        for place in range(blocks)
        for take in range(2)
    ]
