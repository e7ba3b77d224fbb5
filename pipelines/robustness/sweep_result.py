"""What a sweep found: each value with its degradation, and the mean and normalised degradation, with intervals.

The degradation under a condition is the metric on the changed clips minus that on the clean clips, of the same system
on the same clips. Its interval is that of the gate for a paired difference: resampled by speaker if speakers are known.

The normalised degradation divides the mean degradation by how far the conditions change the sound: the mean
log-spectral distance in dB. The Speech Robust Bench (arXiv 2403.07937) divides by a loss of predicted speech quality;
this distance needs no model, so it is the same for each backbone, language and release.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from elp_core.conditions import SWEEP_FAMILIES
from pipelines.gating.compare import PairedComparison, compare_scores
from pipelines.gating.interval import Interval
from pipelines.registry.policies import GatePolicy
from pipelines.robustness.sweep_cells import CLEAN, CellScores, SimulatedCondition

RESAMPLES = 2_000
"""For each of up to 72 intervals; the gate draws more for each of a few."""


@dataclass(frozen=True)
class Change:
    """A difference of shares with its interval; a bound is None if the spread is unknown."""

    value: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class SweptCell:
    """One condition."""

    family: str
    severity: int
    strength: str
    """What the severity is, for people."""
    distance: float
    """Mean log-spectral distance from the clean clips, in dB."""
    values: tuple[float, ...]
    """The metric of each system."""
    degradations: tuple[Change, ...]
    """Of each system: under the condition minus clean."""
    difference: Change | None
    """The second system's metric minus the first one's; None if there is one system."""


@dataclass(frozen=True)
class SweptMean:
    """The mean over conditions."""

    family: str
    """Empty for all families of the sweep."""
    about: str
    degradations: tuple[Change, ...]
    """Of each system."""
    normalised: tuple[float, ...]
    """Of each system: percentage points for each dB of log-spectral distance."""
    difference: Change | None
    """Degradation of the second system minus that of the first; None if there is one system."""


@dataclass(frozen=True)
class SweptSystem:
    """A version that was swept."""

    name: str
    version: int
    bundle: str
    clean: Change
    """The metric on the clean clips."""


@dataclass(frozen=True)
class RobustnessSweep:
    """One or two versions of a slot under the families of the sweep."""

    slot: str
    golden: str
    golden_digest: str
    backbone: str
    metric: str
    clips: int
    golden_clips: int
    blocks: int
    unit: str
    confidence: float
    systems: tuple[SweptSystem, ...]
    overall: SweptMean
    families: tuple[SweptMean, ...]
    cells: tuple[SweptCell, ...]


@dataclass(frozen=True)
class SweepSubject:
    """What was swept, for the record."""

    slot: str
    golden: str
    golden_digest: str
    golden_clips: int
    backbone: str
    closed_set: bool
    versions: tuple[tuple[str, int, str], ...]
    """Name, version and bundle of each system."""


def sweep_result(
    subject: SweepSubject, found: Mapping[SimulatedCondition, CellScores], policy: GatePolicy
) -> RobustnessSweep:
    """Return the result of the scores of a sweep; raises CorpusError if the metric cannot be computed on them."""
    few = replace(policy, resamples=min(policy.resamples, RESAMPLES))
    closed, count = subject.closed_set, len(subject.versions)
    cells = [cell for cell in found if cell != CLEAN]
    # by cell and system; each comparison resamples the same blocks with the same seed
    against = {
        cell: [compare_scores(found[cell].scores[n], found[CLEAN].scores[n], few, closed) for n in range(count)]
        for cell in cells
    }
    clean = [compare_scores(scores, None, few, closed) for scores in found[CLEAN].scores]
    names = list(dict.fromkeys(cell.family for cell in cells))
    about = {family.name: family.about for family in SWEEP_FAMILIES}
    parts = {name: [cell for cell in cells if cell.family == name] for name in names}
    return RobustnessSweep(
        slot=subject.slot,
        golden=subject.golden,
        golden_digest=subject.golden_digest,
        backbone=subject.backbone,
        metric=clean[0].metric,
        clips=clean[0].clips,
        golden_clips=subject.golden_clips,
        blocks=clean[0].blocks,
        unit=clean[0].unit,
        confidence=policy.confidence,
        systems=tuple(
            SweptSystem(*version, _change(one.challenger)) for version, one in zip(subject.versions, clean, strict=True)
        ),
        overall=_mean("", "all families", cells, against, found, few),
        families=tuple(_mean(name, about[name], parts[name], against, found, few) for name in names),
        cells=tuple(_cell(cell, found[cell], against[cell], few, closed) for cell in cells),
    )


def _cell(
    cell: SimulatedCondition, found: CellScores, against: Sequence[PairedComparison], policy: GatePolicy, closed: bool
) -> SweptCell:
    strengths = next(family.strengths for family in SWEEP_FAMILIES if family.name == cell.family)
    both = compare_scores(found.scores[1], found.scores[0], policy, closed) if len(found.scores) > 1 else None
    return SweptCell(
        family=cell.family,
        severity=cell.severity,
        strength=strengths[cell.severity - 1],
        distance=found.distance,
        values=tuple(one.challenger.value for one in against),
        degradations=tuple(_change(one.delta) for one in against if one.delta),
        difference=_change(both.delta) if both and both.delta else None,
    )


def _mean(
    name: str,
    about: str,
    cells: Sequence[SimulatedCondition],
    against: Mapping[SimulatedCondition, Sequence[PairedComparison]],
    found: Mapping[SimulatedCondition, CellScores],
    policy: GatePolicy,
) -> SweptMean:
    """Return the mean degradation over cells; the draws of all cells are of the same resampled blocks."""
    systems = range(len(against[cells[0]]))
    draws = [
        np.mean([against[cell][n].draws[0] - against[cell][n].draws[1] for cell in cells], axis=0) for n in systems
    ]
    values = [float(np.mean([delta.value for cell in cells if (delta := against[cell][n].delta)])) for n in systems]
    distance = float(np.mean([found[cell].distance for cell in cells]))
    first = against[cells[0]][0]

    def interval(value: float, drawn: object) -> Change:
        return _change(first.interval_of(value, np.asarray(drawn), policy.margin, policy.confidence))

    return SweptMean(
        family=name,
        about=about,
        degradations=tuple(interval(value, drawn) for value, drawn in zip(values, draws, strict=True)),
        normalised=tuple(round(100 * value / distance, 6) if distance else 0.0 for value in values),
        difference=interval(values[1] - values[0], draws[1] - draws[0]) if len(values) > 1 else None,
    )


def _change(found: Interval) -> Change:
    lower, upper = (bound if math.isfinite(bound) else None for bound in (found.lower, found.upper))
    return Change(round(found.value, 12), lower, upper)
