"""Ranges of settings, declared next to each setting: `Checked` refuses values outside of them."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, cast, get_args

from elp_core.errors import ConfigError

T = TypeVar("T")
_LATER = "later"


@dataclass(frozen=True)
class _Rule:
    fits: Callable[[Any], bool]
    expected: str


def _setting(default: T, fits: Callable[[Any], bool], expected: str, later: bool = False) -> T:
    return field(default=default, metadata={_Rule: _Rule(fits, expected), _LATER: later})


def within(default: T, low: float, high: float = math.inf, *, later: bool = False) -> T:
    """Declare a setting of `low` to `high`, both allowed, infinity not; of a tuple, each item; `later` as below."""
    expected = f"{low} or more" if math.isinf(high) else f"{low} to {high}"
    return _setting(default, lambda value: low <= value <= high and math.isfinite(value), expected, later)


def positive(default: T) -> T:
    """Declare a setting that is more than 0."""
    return _setting(default, lambda value: 0 < value < math.inf, "more than 0")


def below(default: T, high: float = 1.0) -> T:
    """Declare a setting that is 0 or more and less than `high`, such as a probability of dropout."""
    return _setting(default, lambda value: 0 <= value < high, f"0 or more and less than {high}")


def later(default: T) -> T:
    """Declare a frozen setting that an earlier release did not have: plain values leave it out if it is the default.

    So keys and digests of configurations without it stay as they were.
    """
    return field(default=default, metadata={_LATER: True})


def is_left_out(item: dataclasses.Field[Any], value: object) -> bool:
    """Return whether plain values leave out the `value` of a field that an earlier release did not have."""
    return bool(item.metadata.get(_LATER)) and value == item.default


def one_of(literal: Any) -> dict[Any, Any]:
    """Return the metadata of a field that has one of the values of a `Literal`."""
    known = get_args(literal)
    return {_Rule: _Rule(lambda value: value in known, f"one of {', '.join(known)}")}


class Checked:
    """Base of the configurations.

    Raises:
        ConfigError: Values are outside of their declared ranges; the error lists all of them.
    """

    title: ClassVar[str] = ""
    """What the error calls the configuration; the class's name if it is empty."""

    def __post_init__(self) -> None:
        faults = []
        for item in dataclasses.fields(cast(Any, self)):
            value, rule = getattr(self, item.name), item.metadata.get(_Rule)
            if rule is not None and not all(map(rule.fits, value if isinstance(value, tuple) else (value,))):
                numbers = "numbers of " if isinstance(value, tuple) else ""
                shown = list(value) if isinstance(value, tuple) else value
                faults.append(f"{item.name} is {shown!r}, expected {numbers}{rule.expected}")
        faults += self.other_faults()
        if faults:
            raise ConfigError(self.title or type(self).__name__, faults)

    def other_faults(self) -> list[str]:
        """Return what else is wrong, a sentence each."""
        return []
