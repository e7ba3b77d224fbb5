"""Ranges of settings, declared next to each setting: `Checked` refuses values outside of them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, cast, get_args

from elp_core.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class _Range:
    low: float
    high: float = math.inf
    above: bool = False
    """Whether `low` itself is refused."""
    below: bool = False
    """Whether `high` itself is refused; an infinite value always is."""

    def __contains__(self, value: float) -> bool:
        over = value > self.low if self.above else value >= self.low
        return over and (value < self.high if self.below else value <= self.high) and math.isfinite(value)

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"more than {self.low}" if self.above else f"{self.low} or more"
        return f"{self.low} or more and less than {self.high}" if self.below else f"{self.low} to {self.high}"


def within(default: T, low: float, high: float = math.inf) -> T:
    """Declare a setting of `low` to `high`, both allowed; of a tuple, each item."""
    return field(default=default, metadata={"range": _Range(low, high)})


def positive(default: T) -> T:
    """Declare a setting that is more than 0."""
    return field(default=default, metadata={"range": _Range(0, above=True)})


def below(default: T, high: float = 1.0) -> T:
    """Declare a setting that is 0 or more and less than `high`, such as a probability of dropout."""
    return field(default=default, metadata={"range": _Range(0, high, below=True)})


def choices(literal: Any) -> dict[str, Any]:
    """Return the metadata of a field that has one of the values of a `Literal`."""
    return {"choices": get_args(literal)}


class Checked:
    """Base of the configurations.

    Raises:
        ConfigError: Values are outside of their declared ranges; the error lists all of them.
    """

    title: ClassVar[str] = ""
    """What the error calls the configuration; the class's name if it is empty."""

    def __post_init__(self) -> None:
        faults = [fault for item in dataclasses.fields(cast(Any, self)) for fault in self._faults_of(item)]
        faults += self.other_faults()
        if faults:
            raise ConfigError(self.title or type(self).__name__, faults)

    def other_faults(self) -> list[str]:
        """Return what else is wrong, a sentence each."""
        return []

    def _faults_of(self, item: dataclasses.Field[Any]) -> list[str]:
        value = getattr(self, item.name)
        values = value if isinstance(value, tuple) else (value,)
        allowed, known = item.metadata.get("range"), item.metadata.get("choices")
        if allowed is not None and not all(one in allowed for one in values):
            if isinstance(value, tuple):
                return [f"{item.name} is {list(value)}, expected numbers of {allowed}"]
            return [f"{item.name} is {value}, expected {allowed}"]
        if known is not None and value not in known:
            return [f"{item.name} is {value!r}, expected one of {', '.join(known)}"]
        return []
