"""What the gate says, as values that go to JSON and come back equal."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from elp_core.config import from_dict
from elp_core.metrics.bootstrap import Unit
from pipelines.gating.measured import Measured
from pipelines.registry.policies import GatePolicy

Outcome = Literal["passed", "failed", "undecided"]
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Check:
    """A condition beside the statistics, such as an intact bundle or a limit of the safety policy."""

    name: str
    passed: bool
    """False fails the verdict, or holds it back where `undecided`."""
    detail: str
    undecided: bool = False
    """Not passed and not failed: more data is needed, or a person has to look."""
    derived: bool = False
    """Follows from scores, measurements and policy: whoever decides again makes it anew."""

    @property
    def outcome(self) -> Outcome:
        """passed, failed or undecided."""
        return "passed" if self.passed else "undecided" if self.undecided else "failed"


@dataclass(frozen=True)
class SliceResult:
    """The comparison on the clips of one recording condition."""

    name: str
    outcome: Outcome
    size: int
    """Clips, or target trials (EER)."""
    blocks: int
    challenger: float | None
    """None where the metric cannot be computed on the slice."""
    champion: float | None
    interval: Bounds | None
    """Of the difference to the champion; of the challenger's own value for a first version."""
    p: float | None
    """One-sided p-value of "not worse than allowed"; compared with Holm's levels."""
    note: str


@dataclass(frozen=True)
class Verdict:
    """The gate's decision with every number it rests on. Rates are shares: 0.08 is 8 %."""

    outcome: Outcome
    first_version: bool
    """There was no champion: the absolute limit alone decided."""
    metric: str
    challenger: float
    champion: float | None
    delta: float | None
    """Challenger − champion; None for a first version."""
    interval: Bounds | None
    """Of `delta`; None for a first version."""
    challenger_interval: Bounds
    champion_interval: Bounds | None
    blocks: int
    """How many blocks the resampling drew from."""
    unit: Unit
    """What a block is."""
    clips: int
    needed: int | None
    """Further clips at which the metric's difference and value, as observed, would be decided; None where they are, or
    where no number would do."""
    needed_blocks: int | None
    """The same in blocks (speakers, where they were resampled)."""
    closed_set: bool
    """Speakers of the golden set were heard in training, by declaration."""
    slices: tuple[SliceResult, ...]
    checks: tuple[Check, ...]
    reasons: tuple[str, ...]
    """In plain words, the deciding one first."""
    policy: GatePolicy
    measured: Measured | None = None
    """What the safety checks rest on; None where only the scores were judged."""

    @property
    def passed(self) -> bool:
        """Whether the outcome is ``passed``."""
        return self.outcome == "passed"


def to_json(verdict: Verdict) -> dict[str, Any]:
    """Plain JSON values; infinite bounds become null."""
    plain: dict[str, Any] = _plain(dataclasses.asdict(verdict))
    return plain


def from_json(values: Mapping[str, Any]) -> Verdict:
    """The inverse of `to_json`.

    Raises:
        ConfigError: with every unknown, missing or mistyped key.
    """
    restored = dict(values)
    for key in ("interval", "challenger_interval", "champion_interval"):
        restored[key] = _bounds(restored.get(key))
    restored["slices"] = [{**s, "interval": _bounds(s.get("interval"))} for s in restored.get("slices", ())]
    return from_dict(Verdict, restored, "verdict")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _bounds(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return value
    low, high = value
    return (-math.inf if low is None else low, math.inf if high is None else high)
