"""The same tuning budget for each method: a number of learning rates, chosen on the validation split.

The ELP paper (arXiv 2407.21066, section IV) chooses the rate of each module from five values. Here one factor scales
all rates of a method, so that the frozen backbone, which trains only its head, has as many tries as the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from pipelines.comparison.method_trial import MethodTrial, WantedTrial
from pipelines.comparison.trial_runner import FailedTrial

FACTORS = (1.0, 1 / 3, 3.0, 1 / 9, 9.0)
"""Factors of a method's own rates, in the order in which a budget takes them."""


@dataclass(frozen=True)
class TriedRate:
    """One training of the budget."""

    factor: float
    validation: float | None
    """The metric on the validation split; None if the training failed."""


@dataclass(frozen=True)
class RateChoice:
    """The factor that a method trains with under a head, and what was tried."""

    method: str
    head: str
    factor: float
    tried: tuple[TriedRate, ...]


def tuning_trials(methods: Sequence[str], heads: Sequence[str], budget: int) -> list[WantedTrial]:
    """Return the trainings of the budget: each method with each head at the first `budget` factors."""
    factors = FACTORS[:budget]
    return [WantedTrial(m, factor=factor, head=head) for head in heads for m in methods for factor in factors]


def choose_rates(
    wanted: Sequence[WantedTrial], results: Sequence[MethodTrial | FailedTrial]
) -> tuple[list[RateChoice], list[FailedTrial]]:
    """Return the choice of each method and head by validation, and those whose trainings all failed.

    The golden set has no part in it. Of equal values the factor that comes first in `FACTORS` is chosen.
    """
    choices, lost = [], []
    pairs = zip(wanted, results, strict=True)
    for (method, head), group in groupby(pairs, key=lambda pair: (pair[0].method, pair[0].head)):
        found = list(group)
        tried = tuple(
            TriedRate(trial.factor, result.validation if isinstance(result, MethodTrial) else None)
            for trial, result in found
        )
        usable = [(one.validation, place) for place, one in enumerate(tried) if one.validation is not None]
        if usable:
            choices.append(RateChoice(method, head, tried[min(usable)[1]].factor, tried))
        else:
            lost += [result for _, result in found[:1] if isinstance(result, FailedTrial)]
    return choices, lost


def factor_text(factor: float) -> str:
    """Return a factor as people write it: 1/3, 3."""
    return f"{factor:g}" if factor >= 1 else f"1/{1 / factor:g}"
