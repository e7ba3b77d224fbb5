"""Checks of settings: each returns the faults that it finds, a sentence for each."""

from __future__ import annotations

import math
from typing import Any

from elp_core.errors import ConfigError


def positive(config: Any, *names: str) -> list[str]:
    """Return the faults of values that are not more than 0, or not finite."""
    wrong = [name for name in names if not 0 < getattr(config, name) < math.inf]
    return [f"{name} is {getattr(config, name)}, expected more than 0" for name in wrong]


def outside(config: Any, low: float, high: float, *names: str) -> list[str]:
    """Return the faults of values not in `low` … `high`, both included, or not finite; `high` may be infinite."""
    expected = f"{low} or more" if math.isinf(high) else f"{low} to {high}"
    wrong = [
        name for name in names if not (low <= getattr(config, name) <= high and math.isfinite(getattr(config, name)))
    ]
    return [f"{name} is {getattr(config, name)}, expected {expected}" for name in wrong]


def below_one(config: Any, name: str) -> list[str]:
    """Return the faults of a share or probability that is not 0 or more and less than 1."""
    value = getattr(config, name)
    return [] if 0.0 <= value < 1.0 else [f"{name} is {value}, expected 0 <= {name} < 1"]


def refuse(config: Any, faults: list[str]) -> None:
    """Raise the faults that were found.

    Raises:
        ConfigError: There is a fault; the error has all of them.
    """
    if faults:
        raise ConfigError(type(config).__name__, faults)
