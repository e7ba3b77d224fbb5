"""Three methods of a comparison: full fine-tuning, ELP close to it, and the frozen backbone much worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipelines.comparison.findings import Difference, pairs_of
from pipelines.comparison.method_trial import MethodTrial

FULL = MethodTrial(
    "full", 1.0, "wer", 0.10, 0.07, 0.13, 300, 16.0, 240, 5_000_000, 20_000_000, 22_000_000, 600.0, 900, 10,
    2_000_000_000, 0.02, "cpu", 2,
)  # fmt: skip
ELP = replace(FULL, method="elp", value=0.11, lower=0.08, upper=0.14, parameters=500_000, bundle_bytes=2_000_000)
WEAK = replace(FULL, method="weighted-sum", value=0.4, lower=0.35, upper=0.45, parameters=10_000, bundle_bytes=50_000)


def differences_of(points: float, methods: Sequence[MethodTrial]) -> list[Difference]:
    """Return the methods' differences, each with an interval of so many points to both sides."""
    values = {trial.method: trial.value for trial in methods}
    gaps = [(one, other, values[one] - values[other]) for one, other in pairs_of(methods)]
    return [Difference(one, other, gap, gap - points / 100, gap + points / 100) for one, other, gap in gaps]
