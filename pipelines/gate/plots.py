"""The report's plots as PNG bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from elp_core.metrics.eer import detection_curve
from elp_core.metrics.scores import ClipScores, FloatArray, TrialScores
from elp_core.metrics.wer import error_rate
from pipelines.drawing import figure, png
from pipelines.gate.compare import delta_draws
from pipelines.gate.slices import UNNAMED, conditions

if TYPE_CHECKING:
    from pipelines.gate.evidence import Evidence

CHALLENGER, CHAMPION, LIMIT, INK = "#1f5fa8", "#9aa3ad", "#b3261e", "#2b2f33"
_DRAWS = 2_000
_DET_TICKS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)


@dataclass(frozen=True)
class Plot:
    """One picture of the report."""

    file: str
    title: str
    caption: str
    png: bytes


def draw(evidence: Evidence) -> list[Plot]:
    """The plots that this evidence allows, in the report's order."""
    plots = [_histogram(evidence)]
    if isinstance(evidence.challenger, ClipScores):
        plots.append(_by_condition(evidence))
    else:
        plots.append(_det(evidence))
    return plots


def _histogram(evidence: Evidence) -> Plot:
    """Bootstrap draws of the difference (or of the value, for a first version) with the limit."""
    verdict = evidence.verdict
    draws = 100 * delta_draws(evidence.challenger, evidence.champion, verdict.closed_set, _DRAWS, verdict.policy.seed)
    first = verdict.first_version
    limit = 100 * (verdict.policy.limit if first else verdict.policy.margin)
    value = 100 * (verdict.challenger if verdict.delta is None else verdict.delta)
    bounds = 100 * np.array(verdict.interval or verdict.challenger_interval)
    drawn, axes = figure()
    if len(draws):
        spread = float(draws.max() - draws.min())
        axes.hist(draws, bins=40 if spread > 0 else 1, color=CHALLENGER, alpha=0.35)
    if np.isfinite(bounds).all():
        axes.axvspan(*bounds, color=CHALLENGER, alpha=0.10, lw=0)
    axes.axvline(value, color=CHALLENGER, lw=2, label="observed")
    axes.axvline(limit, color=LIMIT, lw=2, ls="--", label="absolute limit" if first else "allowed margin")
    if not first:
        axes.axvline(0, color=INK, lw=0.8)
    metric = verdict.metric.upper()
    axes.set_xlabel(f"{metric}, %" if first else f"{metric} challenger − champion, percentage points")
    axes.set_yticks([])
    axes.legend(frameon=False)
    caption = (
        f"Draws of the bootstrap over {verdict.blocks} {verdict.unit}; the shaded band is the interval that decides."
    )
    return Plot("bootstrap.png", "How sure is this?", caption, png(drawn))


def _by_condition(evidence: Evidence) -> Plot:
    """WER of both systems on each condition."""
    slices = conditions(evidence.challenger) or {UNNAMED: np.arange(len(evidence.challenger.ids))}
    drawn, axes = figure(height=1.4 + 0.55 * len(slices))
    systems = [("challenger", evidence.challenger, CHALLENGER)]
    if evidence.champion:
        systems.insert(0, ("champion", evidence.champion, CHAMPION))
    rows = np.arange(len(slices))
    thick = 0.8 / len(systems)
    for place, (name, scores, colour) in enumerate(systems):
        assert isinstance(scores, ClipScores)
        rates = [100 * error_rate(scores.errors[at], scores.words[at]) for at in slices.values()]
        bars = axes.barh(rows + (place - (len(systems) - 1) / 2) * thick, rates, thick * 0.92, color=colour, label=name)
        axes.bar_label(bars, [f"{rate:.1f}" for rate in rates], padding=3, fontsize=8)
    labels = [f"{name} ({len(at)})" for name, at in slices.items()]
    axes.set_yticks(rows, ["all clips"] if list(slices) == [UNNAMED] else labels)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("WER, %")
    axes.legend(frameon=False)
    return Plot(
        "wer-by-condition.png", "WER by recording condition", "Clips of each condition in brackets.", png(drawn)
    )


def _det(evidence: Evidence) -> Plot:
    """Detection error trade-off on normal-deviate axes (Martin et al. 1997)."""
    drawn, axes = figure(width=5.2, height=4.8)
    systems = [("challenger", evidence.challenger, CHALLENGER)]
    if evidence.champion:
        systems.insert(0, ("champion", evidence.champion, CHAMPION))
    for name, scores, colour in systems:
        assert isinstance(scores, TrialScores)
        miss, false_alarm, _ = detection_curve(scores.scores, scores.targets)
        axes.plot(_deviate(false_alarm), _deviate(miss), color=colour, lw=2, label=name)
    ticks = _deviate(np.array(_DET_TICKS))
    labels = [f"{100 * tick:g}" for tick in _DET_TICKS]
    axes.plot(ticks[[0, -1]], ticks[[0, -1]], color=INK, lw=0.6, ls=":", label="equal error")
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    axes.set_xlim(ticks[0], ticks[-1])
    axes.set_ylim(ticks[0], ticks[-1])
    axes.set_xlabel("false alarms, %")
    axes.set_ylabel("misses, %")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return Plot("det.png", "Detection error trade-off", "Nearer to the lower left corner is better.", png(drawn))


def _deviate(shares: FloatArray) -> FloatArray:
    """Normal quantiles of shares, kept off 0 and 1."""
    from statistics import NormalDist

    grid = np.linspace(-4.0, 4.0, 2_001)
    levels = np.array([NormalDist().cdf(x) for x in grid])
    return np.interp(np.clip(shares, levels[0], levels[-1]), levels, grid)
