"""The plots of the gate's report as PNG bytes."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from elp_core.metrics.accuracy import confusion
from elp_core.metrics.eer import detection_curve, false_rates
from elp_core.metrics.scores import ClipScores, FloatArray, TrialScores
from elp_core.metrics.wer import error_rate
from pipelines.gating.compare import delta_draws
from pipelines.gating.evidence import Evidence
from pipelines.gating.slices import UNNAMED, conditions
from pipelines.html_report import figure, png
from pipelines.number_text import metric_title
from pipelines.registry.evidence_scores import Scores

CHALLENGER, CHAMPION, LIMIT, INK = "#1f5fa8", "#78838e", "#b3261e", "#2b2f33"
_WIDTH = 4.6
"""Inches: on a page of 390 pixels the texts keep a readable size."""
_DRAWS = 2_000
_CLASSES = 20
_DET_TICKS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)


@dataclass(frozen=True)
class Plot:
    """One picture of the report; `report_words` has its title and caption."""

    file: str
    png: bytes
    shown: int = 0
    """Classes in a picture of classes."""
    classes: int = 0
    """Classes of the golden set, if the picture is of classes."""


def verdict_plots(evidence: Evidence) -> list[Plot]:
    """Return the plots of this evidence, in the report's order."""
    plots = [_histogram(evidence)]
    if isinstance(evidence.challenger, ClipScores):
        plots.append(_by_condition(evidence, evidence.challenger))
        if evidence.challenger.metric == "error_rate":
            plots.append(_confusion(evidence.challenger))
    else:
        plots.append(_det(evidence))
    return plots


def _histogram(evidence: Evidence) -> Plot:
    """Plot the bootstrap draws of the difference (of the value for a first version) with the limit."""
    verdict = evidence.verdict
    draws = 100 * delta_draws(evidence.challenger, evidence.champion, verdict.closed_set, _DRAWS, verdict.policy.seed)
    first = verdict.first_version
    limit = 100 * (verdict.policy.limit if first else verdict.policy.margin)
    value = 100 * (verdict.challenger if verdict.delta is None else verdict.delta)
    bounds = 100 * np.array(verdict.interval or verdict.challenger_interval)
    drawn, axes = figure(_WIDTH)
    if len(draws):
        spread = float(draws.max() - draws.min())
        axes.hist(draws, bins=40 if spread > 0 else 1, color=CHALLENGER, alpha=0.35)
    if np.isfinite(bounds).all():
        axes.axvspan(*bounds, color=CHALLENGER, alpha=0.10, lw=0)
    axes.axvline(value, color=CHALLENGER, lw=2, label="observed")
    axes.axvline(limit, color=LIMIT, lw=2, ls="--", label="absolute limit" if first else "allowed margin")
    if not first:
        axes.axvline(0, color=INK, lw=0.8)
    metric = metric_title(verdict.metric)
    axes.set_xlabel(f"{metric}, %" if first else f"{metric} challenger − champion, percentage points")
    axes.set_yticks([])
    axes.legend(frameon=False)
    return Plot("bootstrap.png", png(drawn))


def _by_condition(evidence: Evidence, challenger: ClipScores) -> Plot:
    """Plot the error rate of both systems on each condition."""
    slices = conditions(challenger) or {UNNAMED: np.arange(len(challenger))}
    metric = metric_title(challenger.metric)
    drawn, axes = figure(_WIDTH, 1.4 + 0.5 * len(slices))
    systems = _systems(evidence)
    rows = np.arange(len(slices))
    thick = 0.8 / len(systems)
    for place, (name, scores, colour) in enumerate(systems):
        assert isinstance(scores, ClipScores)
        rates = [100 * error_rate(scores.errors[at], scores.tokens[at]) for at in slices.values()]
        bars = axes.barh(rows + (place - (len(systems) - 1) / 2) * thick, rates, thick * 0.92, color=colour, label=name)
        axes.bar_label(bars, [f"{rate:.1f}" for rate in rates], padding=3, fontsize=8)
    labels = [f"{name} ({len(at)})" for name, at in slices.items()]
    axes.set_yticks(rows, ["all clips"] if list(slices) == [UNNAMED] else labels)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(f"{metric}, %")
    # outside the axes, because the bars can cover any place inside them
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    return Plot("by-condition.png", png(drawn))


def _confusion(scores: ClipScores) -> Plot:
    """Plot which class the challenger predicted for each label; of many classes, those with the most errors."""
    wrong: dict[str, int] = {}
    for label, answer in zip(scores.references, scores.hypotheses, strict=True):
        for name in (label, answer):
            wrong[name] = wrong.get(name, 0) + (label != answer)
    shown = sorted(sorted(wrong, key=lambda name: (-wrong[name], name))[:_CLASSES])
    names, counts = confusion(scores.hypotheses, scores.references)
    at = [names.index(name) for name in shown]
    counts = counts[np.ix_(at, at)]
    drawn, axes = figure(width=1.8 + 0.42 * len(shown), height=1.5 + 0.38 * len(shown))
    axes.imshow(counts / np.maximum(counts.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts):
        many = 2 * counts[row, column] > counts[row].sum()
        axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=8, color="w" if many else INK)
    axes.set_xticks(range(len(shown)), shown, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(shown)), shown, fontsize=8)
    axes.set_xlabel("challenger")
    axes.set_ylabel("label")
    return Plot("confusion.png", png(drawn), len(shown), len(names))


def _det(evidence: Evidence) -> Plot:
    """Plot the detection error trade-off on normal-deviate axes (Martin et al. 1997)."""
    drawn, axes = figure(_WIDTH, 4.4)
    measured = evidence.verdict.measured
    ticks = _deviate(np.array(_DET_TICKS))
    for name, scores, colour in _systems(evidence):
        assert isinstance(scores, TrialScores)
        miss, false_alarm, _ = detection_curve(scores.scores, scores.targets)
        axes.plot(_deviate(false_alarm), _deviate(miss), color=colour, lw=2, label=name)
        threshold: float | None = getattr(measured, f"{name}_threshold", None)
        if threshold is not None:
            accepts, rejects = false_rates(scores.scores, scores.targets, threshold)
            axes.plot(*np.clip(_deviate(np.array([accepts, rejects])), ticks[0], ticks[-1]), "o", color=colour)
    labels = [f"{100 * tick:g}" for tick in _DET_TICKS]
    axes.plot(ticks[[0, -1]], ticks[[0, -1]], color=INK, lw=0.6, ls=":", label="equal error")
    limits = (ticks[0], ticks[-1])
    axes.set(xlim=limits, ylim=limits, xlabel="false alarms, %", ylabel="misses, %")
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return Plot("det.png", png(drawn))


def _systems(evidence: Evidence) -> list[tuple[str, Scores, str]]:
    """Return name, scores and colour of each system, the champion first."""
    champion = [("champion", evidence.champion, CHAMPION)] if evidence.champion else []
    return [*champion, ("challenger", evidence.challenger, CHALLENGER)]


def _deviate(shares: FloatArray) -> FloatArray:
    """Return the normal quantiles of shares, limited to ±4."""
    quantiles: FloatArray = np.clip(ndtri(shares), -4.0, 4.0)
    return quantiles
