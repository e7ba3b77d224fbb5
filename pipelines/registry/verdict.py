"""What the gate says, as values that go to JSON and come back equal."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from elp_core.config import from_dict
from elp_core.metrics.bootstrap import Unit
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
class Speed:
    """Best times of several rounds over the same clips, taken turn about in one process."""

    seconds: float
    """Of audio in a round."""
    backbone: float
    """Seconds of work of the backbone alone."""
    adapter: float
    """Seconds of work with adapters, head and decoding."""
    device: str

    @property
    def slowdown(self) -> float:
        """How many times as long as the backbone alone."""
        return self.adapter / self.backbone

    @property
    def real_time_factor(self) -> float:
        """Seconds of work for a second of audio."""
        return self.adapter / self.seconds


@dataclass(frozen=True)
class Neighbour:
    """One other slot's champion: digests (SHA-256) of its outputs on `clips` clips, before, beside and after.

    An output is the answer and every frame that its head sees, bit for bit.
    """

    slot: str
    version: int
    bundle: str
    clips: int
    before: str
    """In a batch of the neighbours alone, before the challenger came."""
    after: str
    """The same batch, once the challenger had answered and gone."""
    beside_stand_in: str
    """In a batch with an untrained adapter of the challenger's shape: same sizes, same kernels, other weights."""
    beside_challenger: str
    """In that batch with the challenger in its place."""

    @property
    def unchanged(self) -> bool:
        """Whether the challenger made no difference to any bit."""
        return (self.before, self.beside_stand_in) == (self.after, self.beside_challenger)


@dataclass(frozen=True)
class Neighbourhood:
    """The champions of other slots that shared a host with the challenger."""

    compared: tuple[Neighbour, ...]
    slots: int
    """Other slots in the registry."""
    skipped: tuple[str, ...]
    """Slots that were to be compared and could not, each with the reason."""
    repeatable: bool
    """Whether this machine gives the same bits twice, without the challenger; elsewhere nothing can be compared."""


@dataclass(frozen=True)
class Measured:
    """One run's measurements of the challenger (and the champion's threshold)."""

    subject: str
    """Slot and version as `elp audit` takes them."""
    bundle_bytes: int
    """Of all files of the bundle."""
    parameters: int
    """Learnable values of adapters and head."""
    speed: Speed
    backbone_before: str
    """SHA-256 of the backbone's tensors in memory, before anything ran on it."""
    backbone_after: str
    """The same after all of it."""
    neighbourhood: Neighbourhood
    challenger_threshold: float | None = None
    """At which the bundle decides trials; None for tasks without one, or where none was chosen."""
    champion_threshold: float | None = None


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

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; an infinite bound becomes null."""
        values: dict[str, Any] = _finite(dataclasses.asdict(self))
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Verdict:
        """Read what `to_json` returned.

        Raises:
            ConfigError: A key is unknown, missing or of another type; every such key is named.
        """
        restored = dict(values)
        for key in ("interval", "challenger_interval", "champion_interval"):
            restored[key] = _bounds(restored.get(key))
        restored["slices"] = [{**s, "interval": _bounds(s.get("interval"))} for s in restored.get("slices", ())]
        return from_dict(cls, restored, "verdict")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _bounds(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return value
    low, high = value
    return (-math.inf if low is None else low, math.inf if high is None else high)
