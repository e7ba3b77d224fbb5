"""k-means over frames: fitted on a sample, assigned to all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float32]


def fit_centres(features: Frames, classes: int, fit_frames: int, seed: int) -> Frames:
    """Fit `[classes, n]` centres on `fit_frames` rows of `[frames, n]` drawn at random (mini-batch k-means)."""
    from sklearn.cluster import MiniBatchKMeans

    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(features), size=min(fit_frames, len(features)), replace=False)
    model = MiniBatchKMeans(
        classes, batch_size=10_000, max_iter=60, n_init=3, reassignment_ratio=0.005, random_state=seed
    )
    model.fit(features[np.sort(chosen)])
    return np.asarray(model.cluster_centers_, dtype=np.float32)


def assign(features: Frames, centres: Frames) -> NDArray[np.uint16]:
    """Give each row of `[frames, n]` the number of its nearest centre."""
    labels = np.empty(len(features), dtype=np.uint16)
    half = (centres**2).sum(axis=1) / 2
    for start in range(0, len(features), 50_000):
        block = slice(start, start + 50_000)
        labels[block] = (features[block] @ centres.T - half).argmax(axis=1)
    return labels
