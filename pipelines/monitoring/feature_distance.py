"""The distance of a block's pooled backbone features from those that are usual for a slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from pipelines.errors import UsageError

Features = npt.NDArray[np.float32]
LEAST_CLIPS = 10


@dataclass(frozen=True, eq=False)
class FeatureDistance:
    """The Mahalanobis distance from a mean, under a covariance that is shrunk (Ledoit and Wolf 2004).

    It is fitted on other clips than those that are compared, so clips of the reference and later ones are measured in
    the same way. In tests on real speech, all directions of the covariance found a change of noise or microphone with
    fewer blocks than the first 5 to 80 principal directions.
    """

    mean: npt.NDArray[np.float64]
    """[C]"""
    precision: npt.NDArray[np.float64]
    """Inverse of the covariance, [C, C]."""

    @classmethod
    def fit(cls, features: Sequence[Features]) -> Self:
        """Return the distance from the features [C] of clips.

        Raises:
            UsageError: There are fewer than 10 clips.
        """
        if len(features) < LEAST_CLIPS:
            raise UsageError(
                f"the distance of features needs {LEAST_CLIPS} clips or more, got {len(features)}; add clips to the "
                "slot's train split"
            )
        # it takes a second to import
        from sklearn.covariance import LedoitWolf

        fitted = LedoitWolf().fit(np.asarray(features, dtype=np.float64))
        return cls(fitted.location_, fitted.precision_)

    def of_block(self, features: Sequence[Features]) -> float:
        """Return the distance of the mean of a block's features [C]."""
        off = np.mean(np.asarray(features, dtype=np.float64), axis=0) - self.mean
        return float(np.sqrt(max(0.0, off @ self.precision @ off)))
