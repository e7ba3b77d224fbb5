"""The verdict of the gate as frozen records, which are written as JSON and read back equal."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from elp_core.config import from_dict
from elp_core.languages import NormaliserId
from pipelines.registry.policies import GatePolicy

Outcome = Literal["passed", "failed", "undecided"]
Bounds = tuple[float, float]
SliceKind = Literal["condition", "group"]
"""What the clips of a slice have in common."""
Unit = Literal["clips", "speakers"]
"""The unit of `elp_core.metrics.bootstrap`, not imported: numpy would double the start time of `elp audit`."""


@dataclass(frozen=True)
class GateCheck:
    """A condition in addition to the statistics, such as an intact bundle or a limit of the safety policy."""

    name: str
    passed: bool
    """False fails the verdict, or makes it undecided if `undecided` is set."""
    detail: str
    undecided: bool = False
    """Neither passed nor failed: more data is needed, or a person has to look."""
    derived: bool = False
    """It follows from scores, measurements and policy, so it is computed again if the verdict is decided again."""

    @property
    def outcome(self) -> Outcome:
        """Return passed, failed or undecided."""
        return "passed" if self.passed else "undecided" if self.undecided else "failed"


@dataclass(frozen=True)
class SliceResult:
    """The comparison on the clips of one recording condition, or of one group such as ``dialect=kansai``."""

    name: str
    outcome: Outcome
    size: int
    """Clips, or target trials (EER)."""
    blocks: int
    challenger: float | None
    """None if the metric cannot be computed on the slice."""
    champion: float | None
    interval: Bounds | None
    """Of the difference to the champion; of the challenger's own value for a first version."""
    p: float | None
    """One-sided p-value of "not worse than allowed"; compared with Holm's levels."""
    note: str
    kind: SliceKind = "condition"


@dataclass(frozen=True)
class GroupGap:
    """How far apart the groups of one key are: the metric of the worst value minus that of the best one."""

    key: str
    outcome: Outcome
    """Against the policy's limit; passed without a limit."""
    compared: int
    """Number of values that are large enough; with less than two, there is no gap."""
    worst: str = ""
    best: str = ""
    worst_rate: float | None = None
    best_rate: float | None = None
    challenger: float | None = None
    """The gap: `worst_rate` − `best_rate`."""
    interval: Bounds | None = None
    champion: float | None = None
    """The champion's gap, between its own worst and best value; None for a first version."""
    champion_interval: Bounds | None = None
    note: str = ""

    @property
    def sentence(self) -> str:
        """Return the gap in words; empty without one."""
        if self.challenger is None or self.interval is None:
            return ""
        low, high = (f"{100 * bound:.1f}" for bound in self.interval)
        span = f"{low} to {high}" if math.isfinite(self.interval[1]) else "the spread is unknown"
        before = "" if self.champion is None else f"; with the champion, the gap is {100 * self.champion:.1f} points"
        worst, best = f"{self.key}={self.worst}", f"{self.key}={self.best}"
        return f"The error of {worst} is {100 * self.challenger:.1f} points above that of {best} ({span}){before}"


@dataclass(frozen=True)
class Speed:
    """Best times of several rounds over the same clips, measured alternately in one process."""

    seconds: float
    """Audio in a round."""
    backbone: float
    """Computing time of the backbone alone, in seconds."""
    adapter: float
    """Computing time with adapters, head and decoding, in seconds."""
    device: str

    @property
    def slowdown(self) -> float:
        """Return how many times longer the adapter takes than the backbone alone."""
        return self.adapter / self.backbone

    @property
    def real_time_factor(self) -> float:
        """Return the seconds of computing for a second of audio."""
        return self.adapter / self.seconds


@dataclass(frozen=True)
class SlotOutputs:
    """One other slot's champion in the interference check: digests (SHA-256) of its outputs on `clips` clips.

    An output is the answer and every frame that its head processes, bit for bit.
    """

    slot: str
    version: int
    bundle: str
    clips: int
    before: str
    """In a batch without the challenger, before it was loaded."""
    after: str
    """In the same batch, after the challenger was removed."""
    with_stand_in: str
    """In a batch with an untrained adapter of the challenger's shape: same sizes, same kernels, other weights."""
    with_challenger: str
    """In the same batch with the challenger instead."""

    @property
    def unchanged(self) -> bool:
        """Return whether the challenger changed no bit."""
        return (self.before, self.with_stand_in) == (self.after, self.with_challenger)


@dataclass(frozen=True)
class Interference:
    """The result of the interference check: champions of other slots on one host with the challenger."""

    compared: tuple[SlotOutputs, ...]
    slots: int
    """Number of other slots in the registry."""
    skipped: tuple[str, ...]
    """Slots that could not be compared, each with the reason."""
    repeatable: bool
    """Whether this machine gives the same bits twice without the challenger; otherwise nothing can be compared."""


@dataclass(frozen=True)
class Measured:
    """The measurements of the challenger (and the champion's threshold) from one run of the gate."""

    subject: str
    """Slot and version as arguments of `elp audit`."""
    bundle_bytes: int
    """Size of all files of the bundle."""
    parameters: int
    """Learnable values of adapters and head."""
    speed: Speed
    backbone_before: str
    """SHA-256 of the backbone's tensors in memory before the evaluation."""
    backbone_after: str
    """The same after all measurements."""
    interference: Interference
    challenger_threshold: float | None = None
    """The threshold that decides trials; None for tasks without one, or if none was chosen."""
    champion_threshold: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The gate's decision with every number that it follows from. Rates are shares: 0.08 is 8 %."""

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
    """Number of blocks that were resampled."""
    unit: Unit
    """What a block is."""
    clips: int
    needed: int | None
    """Further clips that would decide the difference and the value as observed; None if both are decided, or if no
    number is enough."""
    needed_blocks: int | None
    """The same in blocks (speakers, if speakers were resampled)."""
    closed_set: bool
    """The data is declared to use the same speakers for training and golden set."""
    slices: tuple[SliceResult, ...]
    checks: tuple[GateCheck, ...]
    reasons: tuple[str, ...]
    """Sentences for people, the deciding one first."""
    policy: GatePolicy
    measured: Measured | None = None
    """What the safety checks follow from; None if only the scores were judged."""
    normaliser: NormaliserId | None = None
    """The rule that the transcripts and the answers have their form from; None for English, the default."""
    gaps: tuple[GroupGap, ...] = ()
    """Of each key of groups, by key; empty if the golden set has no groups."""

    @property
    def passed(self) -> bool:
        """Return whether the outcome is ``passed``."""
        return self.outcome == "passed"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; an infinite bound becomes null."""
        values: dict[str, Any] = _finite({**dataclasses.asdict(self), "policy": self.policy.to_json()})
        if self.normaliser is None:
            # verdicts on English never had this key, and evidence is named by its bytes
            del values["normaliser"]
        # nor had those on golden sets without groups
        for part in values["slices"]:
            if part["kind"] == "condition":
                del part["kind"]
        if not self.gaps:
            del values["gaps"]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Verdict:
        """Read what `to_json` returned; raise ConfigError that names every wrong key."""
        restored = dict(values)
        for key in ("interval", "challenger_interval", "champion_interval"):
            restored[key] = _bounds(restored.get(key))
        restored["slices"] = [{**s, "interval": _bounds(s.get("interval"))} for s in restored.get("slices", ())]
        restored["gaps"] = [
            {**gap, **{key: _bounds(gap.get(key)) for key in ("interval", "champion_interval")}}
            for gap in restored.get("gaps", ())
        ]
        return from_dict(cls, restored, "verdict")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    # JSON has no infinity, and NaN is equal to nothing that is read back
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _bounds(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return value
    low, high = value
    return (-math.inf if low is None else low, math.inf if high is None else high)
