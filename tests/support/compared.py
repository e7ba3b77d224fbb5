"""Three methods as a comparison finds them: full fine-tuning, ELP near it, and the frozen backbone far off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipelines.comparison.difference import Difference, pairs_of
from pipelines.comparison.trial import Trial

FULL = Trial(
    "full", 1.0, "wer", 0.10, 0.07, 0.13, 300, 16.0, 240, 5_000_000, 20_000_000, 22_000_000, 600.0, 900, 10,
    2_000_000_000, 0.02, "cpu", 2,
)  # fmt: skip
ELP = replace(FULL, method="elp", value=0.11, lower=0.08, upper=0.14, parameters=500_000, bundle_bytes=2_000_000)
WEAK = replace(FULL, method="weighted-sum", value=0.4, lower=0.35, upper=0.45, parameters=10_000, bundle_bytes=50_000)


def told_apart_by(points: float, methods: Sequence[Trial]) -> list[Difference]:
    """The methods' differences, each known to so many points."""
    values = {trial.method: trial.value for trial in methods}
    gaps = [(one, other, values[one] - values[other]) for one, other in pairs_of(methods)]
    return [Difference(one, other, gap, gap - points / 100, gap + points / 100) for one, other, gap in gaps]
