"""The record of a comparison."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.comparison.findings import Difference
from pipelines.comparison.learning_curve import PredictedError
from pipelines.comparison.method_trial import MethodTrial
from pipelines.comparison.repeated_methods import RepeatedComparison
from pipelines.comparison.trial_runner import FailedTrial


@dataclass(frozen=True)
class MethodComparison:
    """Several methods on one slot, and the learning curve of one of them."""

    slot: str
    dataset: str
    """Tag of the dataset version."""
    golden: str
    backbone: str
    fingerprint: str
    metric: str
    confidence: float
    closed_set: bool
    hardware: str
    methods: tuple[MethodTrial, ...]
    """All trained on the whole training split, in the order of the request."""
    differences: tuple[Difference, ...]
    """Differences of the pairs that `pairs_of` names."""
    about: dict[str, str]
    """One line on each method."""
    curve_method: str
    curve: tuple[MethodTrial, ...]
    """The curve's method at increasing shares of the training split."""
    ahead: tuple[PredictedError, ...]
    """What the curve predicts for more audio; empty if it predicts nothing."""
    failed: tuple[FailedTrial, ...]
    findings: tuple[str, ...]
    """What the numbers show, in sentences."""
    normaliser: str = ""
    """Name and digest of the rule that gave transcripts and answers their form; empty for English, the default."""
    repeats: RepeatedComparison | None = None
    """What several seeds, rates or heads add; None for one training of each method."""
