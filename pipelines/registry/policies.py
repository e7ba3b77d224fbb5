"""The limits that a slot declares for its data and for its gate."""

from __future__ import annotations

from dataclasses import dataclass, field

from elp_core.errors import ConfigError


@dataclass(frozen=True)
class SafetyPolicy:
    """Limits of the gate's safety checks. None sets no limit: what was measured is told, and holds nothing up.

    Raises:
        ConfigError: with every limit that is out of its range.
    """

    max_false_accepts: float | None = None
    """Share of impostor trials that may be accepted at the threshold the bundle carries (ASV)."""
    max_false_rejects: float | None = None
    """Share of target trials that may be refused at that threshold (ASV)."""
    operating_margin: float | None = 0.1
    """Non-inferiority margin on either share, each system at its own threshold (ASV)."""
    max_improvement: float | None = 0.9
    """Share of the champion's errors that an honest challenger may take away; more raises the alarm for leakage."""
    least_metric: float | None = None
    """Value of the metric under which no result is believed; less raises the same alarm."""
    max_slice: float | None = None
    """Absolute limit on the metric of the worst recording condition."""
    neighbours: int = 8
    """Champions of other slots that must answer bit for bit alike beside the challenger; 0 compares none."""
    neighbour_clips: int = 2
    """Golden clips that each of them answers."""
    max_megabytes: float | None = 256.0
    """Of the bundle's files, 1 MB being 1,000,000 bytes."""
    max_parameters: int | None = None
    """Learnable values of adapters and head."""
    max_slowdown: float | None = 5.0
    """Time for the same clips over the time of the backbone alone, both in the gate's run."""
    max_real_time_factor: float | None = None
    """Seconds of work for a second of audio on the machine that judges."""

    def __post_init__(self) -> None:
        shares = ("max_false_accepts", "max_false_rejects", "operating_margin", "max_improvement", "least_metric")
        faults = [f"{name} is {getattr(self, name)}, expected a share from 0 to 1" for name in self._outside(shares, 1)]
        amounts = ("max_slice", "max_megabytes", "max_parameters", "max_slowdown", "max_real_time_factor", "neighbours")
        faults += [f"{name} is {getattr(self, name)}, expected 0 or more" for name in self._outside(amounts)]
        if self.neighbour_clips < 1:
            faults.append(f"neighbour_clips is {self.neighbour_clips}, expected 1 or more")
        if faults:
            raise ConfigError(type(self).__name__, faults)

    def _outside(self, names: tuple[str, ...], most: float = float("inf")) -> list[str]:
        values = {name: getattr(self, name) for name in names}
        return [name for name, value in values.items() if value is not None and not 0 <= value <= most]


@dataclass(frozen=True)
class DataPolicy:
    """What makes a clip bad (quarantine) and a delivery bad (refused)."""

    min_seconds: float = 0.1
    max_seconds: float = 60.0
    min_snr_db: float = -5.0
    max_clipping: float = 0.05
    """Share of samples at full scale."""
    max_silence: float = 0.95
    """Share of 20 ms frames that are silent."""
    min_speakers: int = 1
    max_quarantined: float = 0.2
    """Share of a delivery that may go to quarantine before the whole delivery is refused."""
    closed_set: bool = False
    """The source's own splits share speakers; every table made from them says so."""
    validation_share: float = 0.1
    test_share: float = 0.1


@dataclass(frozen=True)
class GatePolicy:
    """Declared limits of the regression check."""

    limit: float = 0.5
    """Absolute limit on the task's metric (WER, EER, error rate): lower is better."""
    margin: float = 0.02
    """Non-inferiority margin on challenger − champion."""
    confidence: float = 0.95
    resamples: int = 10_000
    min_slice: int = 30
    """Clips, or target trials (ASV), under which a condition slice is reported as undecided."""
    seed: int = 0
    safety: SafetyPolicy = field(default_factory=SafetyPolicy)
    """Limits beside the metric's."""
