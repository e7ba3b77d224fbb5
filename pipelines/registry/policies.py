"""The limits that a slot declares for its data and for the gate."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from elp_core._ranges import Checked, later, within
from elp_core.config import SweepCondition, to_dict
from elp_core.errors import ConfigError, CorpusError
from elp_core.groups import group_text
from pipelines.registry.signing.canonical_json import canonical_json, sha256

RENAMED_LIMITS = {"neighbours": "interference_slots", "neighbour_clips": "interference_clips"}
"""Present name of each safety limit by the name that it had in release 0.1. Files with the older names stay readable,
and a policy's digest is still computed over them: otherwise every verdict of that release would be outdated."""


@dataclass(frozen=True)
class SafetyPolicy:
    """Limits of the gate's safety checks. With None there is no limit: the measurement is reported only."""

    max_false_accepts: float | None = None
    """Share of impostor trials that may be accepted at the threshold the bundle carries (ASV)."""
    max_false_rejects: float | None = None
    """Share of target trials that may be refused at that threshold (ASV)."""
    operating_margin: float | None = 0.1
    """Non-inferiority margin on either share, each system at its own threshold (ASV)."""
    max_improvement: float | None = 0.9
    """Share of the champion's errors that a genuine challenger may remove; more raises the leakage alarm."""
    least_metric: float | None = None
    """Lowest plausible value of the metric; less raises the same alarm."""
    max_slice: float | None = None
    """Absolute limit on the metric of the worst recording condition."""
    interference_slots: int = 8
    """Champions of other slots that must answer bit for bit the same with the challenger loaded; 0 compares none."""
    interference_clips: int = 2
    """Golden clips that each of them answers."""
    max_megabytes: float | None = 256.0
    """Size of the bundle's files; 1 MB is 1,000,000 bytes."""
    max_parameters: int | None = None
    """Learnable values of adapters and head."""
    max_slowdown: float | None = 5.0
    """Time for some clips divided by the time of the backbone alone, both measured in the gate's run."""
    max_real_time_factor: float | None = None
    """Seconds of computing for a second of audio on the machine that runs the gate."""

    def __post_init__(self) -> None:
        shares = ("max_false_accepts", "max_false_rejects", "operating_margin", "max_improvement", "least_metric")
        amounts = ("max_slice", "max_megabytes", "max_parameters", "max_slowdown", "max_real_time_factor")
        ranges = dict.fromkeys(shares, (0, 1.0, "a share from 0 to 1"))
        ranges |= dict.fromkeys((*amounts, "interference_slots"), (0, math.inf, "0 or more"))
        ranges["interference_clips"] = (1, math.inf, "1 or more")
        faults = [
            f"{name} is {value}, expected {expected}"
            for name, (least, most, expected) in ranges.items()
            if (value := getattr(self, name)) is not None and not least <= value <= most
        ]
        if faults:
            raise ConfigError(type(self).__name__, faults)


VoicePolicy = Literal["report", "wait"]
TagRule = Literal["quarantine", "remove", "keep"]


@dataclass(frozen=True)
class DataPolicy:
    """Limits beyond which a clip goes to quarantine and a delivery is refused."""

    min_seconds: float = 0.1
    max_seconds: float = 60.0
    min_snr_db: float = -5.0
    max_clipping: float = 0.05
    """Share of samples at full scale."""
    max_silence: float = 0.95
    """Share of 20 ms frames that are silent."""
    min_speakers: int = 1
    max_quarantined: float = 0.2
    """Share of a delivery that may go to quarantine; with more, the whole delivery is refused."""
    closed_set: bool = False
    """The source's own splits share speakers; every table made from them states this."""
    validation_share: float = 0.1
    test_share: float = 0.1
    split_by: Literal["speaker", "clip"] = "speaker"
    """What is divided among the splits if the source names none. Clips need `closed_set`: the same people are then in
    all splits."""
    tags: TagRule = "quarantine"
    """What becomes of transcripts with tags such as ``[laughter]`` (ASR): the clip goes to quarantine, the tags are
    removed, or what is in the brackets is kept as words."""
    min_alignment: float = -1.5
    """Segments that `--align` cuts go to quarantine with a lower score: the mean log-probability of a frame in the
    segment's worst window."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Values that clips may have for each key of groups; a key without values takes any. A clip with another key or
    value goes to quarantine. Empty for all groups."""

    def __post_init__(self) -> None:
        faults = [
            fault
            for key, values in self.groups.items()
            for value in values or ("x",)
            if (fault := _as_group(key, value))
        ]
        if faults:
            raise ConfigError(type(self).__name__, faults)

    def key_values(self) -> dict[str, Any]:
        """Return the values as they are part of a delivery's key; those that old versions had not, if they are set."""
        values = dataclasses.asdict(self)
        for name in ("tags", "split_by", "min_alignment", "groups"):
            if values[name] == getattr(DataPolicy(), name):
                del values[name]
        return values


def _as_group(key: str, value: str) -> str:
    """Return why a declared key or value cannot be one of a clip; empty if it can."""
    try:
        return "" if group_text({key: value}) else f"groups has an empty value of {key!r}, expected a name"
    except CorpusError as error:
        return f"groups: {error}"


@dataclass(frozen=True)
class RobustnessPolicy(Checked):
    """Simulated conditions under which the gate compares challenger and champion, in addition to the recorded ones."""

    families: tuple[SweepCondition, ...] = get_args(SweepCondition)
    """Families of `elp sweep`."""
    severity: int = within(2, 1, 4)
    margin: float = within(0.05, 0.0, 1.0)
    """Non-inferiority margin on challenger − champion under each family."""
    clips: int = within(300, 0)
    """Most golden clips that are answered under each family, chosen by hash; 0 answers all."""

    def other_faults(self) -> list[str]:
        """Return the fault of families that are missing, unknown or named twice."""
        known, chosen = get_args(SweepCondition), set(self.families)
        fine = chosen and len(chosen) == len(self.families) and chosen <= set(known)
        return [] if fine else [f"families is {list(self.families)}, expected some of {', '.join(known)}, each once"]


@dataclass(frozen=True)
class GatePolicy:
    """Declared limits of the regression check."""

    limit: float = 0.5
    """Absolute limit on the task's metric (WER or CER, EER, error rate): lower is better."""
    margin: float = 0.02
    """Non-inferiority margin on challenger − champion."""
    confidence: float = 0.95
    resamples: int = 10_000
    min_slice: int = 30
    """A condition with fewer clips (ASV: target trials) is reported as undecided."""
    seed: int = 0
    safety: SafetyPolicy = field(default_factory=SafetyPolicy)
    """Limits in addition to those on the metric."""
    metric: Literal["", "wer", "cer"] = ""
    """Metric that decides in ASR; empty: that of the language. It also chooses the best epoch of a training."""
    voices: VoicePolicy = "report"
    """What becomes of a version that passed if voices are enrolled under another bundle (ASV): the verdict reports
    them, or the promotion waits until every one is renewed."""
    robustness: RobustnessPolicy | None = later(None)  # noqa: RUF009 - it is a field
    """Simulated conditions that are slices of the verdict; None for none."""
    max_gap: float | None = later(None)
    """Limit on the metric of the worst group minus that of the best one, for each key of groups; None is no limit."""

    def __post_init__(self) -> None:
        if self.max_gap is not None and not 0 <= self.max_gap <= 1:
            raise ConfigError(type(self).__name__, [f"max_gap is {self.max_gap}, expected a share from 0 to 1"])

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; what older policies had not only if it is set, so that they keep their digest."""
        values = to_dict(self)
        if not self.metric:
            del values["metric"]
        if self.voices == "report":
            del values["voices"]
        return values


@dataclass(frozen=True)
class RetrainPolicy:
    """When the monitor asks for a retraining: always for drift with a falling confidence, and at these limits."""

    max_age_days: float | None = None
    """Age of a champion from which it is replaced; None is no limit."""
    new_clips: int | None = None
    """Clips that were added since the champion's dataset version; None is no limit."""
    cooldown_days: float = 7.0
    """Days after a start in which no other one follows."""
    weekly: int = 1
    """Starts of this slot in 7 days."""
    fleet_weekly: int = 10
    """Starts of all slots of the workspace in 7 days, after which this one waits."""


@dataclass(frozen=True)
class MonitorPolicy:
    """How the audio of a slot's site is compared with its golden set."""

    block_clips: int = 10
    """Clips of a session that are counted. A session with fewer clips is left out, one with more counts once."""
    rate: float = 0.05
    """Largest probability of an alarm within a year in which nothing changed."""
    source: str = ""
    """Folder or manifest with what the site sends, in the workspace or elsewhere; ``{site}``, ``{task}`` stand for
    the slot."""
    retrain: RetrainPolicy = field(default_factory=RetrainPolicy)

    def __post_init__(self) -> None:
        faults = [] if self.block_clips >= 1 else [f"block_clips is {self.block_clips}, expected 1 or more"]
        if not 0 < self.rate < 1:
            faults.append(f"rate is {self.rate}, expected a share between 0 and 1")
        if set("{}") & set(self.source_of("", "")):
            faults.append(f"source is {self.source!r}, expected a path with {{site}} and {{task}} as its only braces")
        if faults:
            raise ConfigError(type(self).__name__, faults)

    def source_of(self, site: str, task: str) -> str:
        """Return `source` for a slot; empty without one."""
        return self.source.replace("{site}", site).replace("{task}", task)


def current_gate_names(gate: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a gate policy with the present names of its safety limits."""
    safety = gate.get("safety")
    if not isinstance(safety, Mapping):
        return dict(gate)
    # if a limit is given under both names, the older one stays, so that the reader reports it as unknown
    names = {old: new for old, new in RENAMED_LIMITS.items() if new not in safety}
    return {**gate, "safety": {names.get(key, key): value for key, value in safety.items()}}


def policy_digest(policy: GatePolicy) -> str:
    """Return the ``sha256:…`` of a gate policy, which shows whether a verdict was made under the present limits."""
    values = policy.to_json()
    older = {new: old for old, new in RENAMED_LIMITS.items()}
    values["safety"] = {older.get(key, key): value for key, value in values["safety"].items()}
    return "sha256:" + sha256(canonical_json(values))
