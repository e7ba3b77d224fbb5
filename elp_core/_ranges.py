"""Ranges of settings: what is wrong with a configuration's values, a sentence each."""

from __future__ import annotations

import math
from typing import Any

from elp_core.errors import ConfigError


def positive(config: Any, *names: str) -> list[str]:
    """Faults of values that are not more than 0, or not finite."""
    wrong = [name for name in names if not 0 < getattr(config, name) < math.inf]
    return [f"{name} is {getattr(config, name)}, expected more than 0" for name in wrong]


def outside(config: Any, low: float, high: float, *names: str) -> list[str]:
    """Faults of values that are not between `low` and `high`, both allowed, or not finite; `high` may be infinite."""
    told = f"{low} or more" if math.isinf(high) else f"{low} to {high}"
    wrong = [
        name for name in names if not (low <= getattr(config, name) <= high and math.isfinite(getattr(config, name)))
    ]
    return [f"{name} is {getattr(config, name)}, expected {told}" for name in wrong]


def dropout_faults(dropout: float) -> list[str]:
    """What is wrong with a probability of dropout: nothing, or one sentence."""
    return [] if 0.0 <= dropout < 1.0 else [f"dropout is {dropout}, expected 0 <= dropout < 1"]


def refuse(config: Any, faults: list[str]) -> None:
    """Raise what was found.

    Raises:
        ConfigError: where there is a fault, with all of them.
    """
    if faults:
        raise ConfigError(type(config).__name__, faults)
