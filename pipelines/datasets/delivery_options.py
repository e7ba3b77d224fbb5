"""What an operator may ask of a delivery: a condition's name, noise mixed in."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from elp_core.types import Decibels
from pipelines.errors import UsageError

NOISES = ("factory",)
_CONDITION = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,38}[a-z0-9])?")


@dataclass(frozen=True)
class DeliveryOptions:
    """How a delivery's clips are changed and named on their way in."""

    noise: str = ""
    """Kind of noise mixed into every clip, made by the program; empty mixes none."""
    snr: Decibels = 5.0
    """Signal-to-noise ratio of the mix."""
    condition: str = ""
    """Recording condition given to every clip; empty keeps the source's, or names the noise."""

    @property
    def forced_condition(self) -> str:
        """The condition that every clip gets, or empty."""
        return self.condition or (f"{self.noise}-{self.snr:g}db" if self.noise else "")


def delivery_options(values: Mapping[str, Any]) -> DeliveryOptions:
    """Options from plain values (`noise`, `snr`, `condition`); None and empty text count as not given.

    Raises:
        UsageError: naming every option that is unknown or has a value that makes no sense.
    """
    given = {key: value for key, value in values.items() if value is not None and value != ""}
    faults = [f"unknown option {key}" for key in given if key not in ("noise", "snr", "condition")]
    noise, condition = str(given.get("noise", "")), str(given.get("condition", ""))
    if noise and noise not in NOISES:
        faults.append(f"noise is {noise!r}, expected one of {', '.join(NOISES)}")
    if "snr" in given and not noise:
        faults.append("snr is given without noise")
    try:
        snr = float(given.get("snr", 5.0))
    except (TypeError, ValueError):
        snr = math.nan
    if not -30.0 <= snr <= 60.0:
        faults.append(f"snr is {given['snr']}, expected -30 to 60 dB")
    if condition and not _CONDITION.fullmatch(condition):
        faults.append(f"condition is {condition!r}, expected lower-case letters, digits, dots and hyphens, 40 at most")
    if faults:
        raise UsageError("delivery options: " + "; ".join(faults))
    return DeliveryOptions(noise, snr, condition)
