"""The report's plots as PNG bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elp_core.metrics.accuracy import confusion
from elp_core.metrics.eer import detection_curve, false_rates
from elp_core.metrics.scores import ClipScores, FloatArray, TrialScores, title
from elp_core.metrics.wer import error_rate
from pipelines.gating.compare import delta_draws
from pipelines.gating.evidence import Evidence
from pipelines.gating.slices import UNNAMED, conditions
from pipelines.html_report import figure, png

CHALLENGER, CHAMPION, LIMIT, INK = "#1f5fa8", "#9aa3ad", "#b3261e", "#2b2f33"
_DRAWS = 2_000
_CLASSES = 20
_DET_TICKS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)

FILES: dict[str, tuple[tuple[str, str], ...]] = {
    "wer": (("bootstrap.png", "How sure is this?"), ("by-condition.png", "WER by recording condition")),
    "eer": (("bootstrap.png", "How sure is this?"), ("det.png", "Detection error trade-off")),
    "error_rate": (
        ("bootstrap.png", "How sure is this?"),
        ("by-condition.png", "Error rate by recording condition"),
        ("confusion.png", "Which classes are confused"),
    ),
}
"""File and title of the plots of each metric, for those who have the evidence's folder only."""


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
        plots.append(_by_condition(evidence, evidence.challenger))
        if evidence.challenger.metric == "error_rate":
            plots.append(_confusion(evidence.challenger))
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
    metric = title(verdict.metric)
    axes.set_xlabel(f"{metric}, %" if first else f"{metric} challenger − champion, percentage points")
    axes.set_yticks([])
    axes.legend(frameon=False)
    caption = (
        f"Draws of the bootstrap over {verdict.blocks} {verdict.unit}; the shaded band is the interval that decides."
    )
    return Plot("bootstrap.png", "How sure is this?", caption, png(drawn))


def _by_condition(evidence: Evidence, challenger: ClipScores) -> Plot:
    """Rate of errors of both systems on each condition."""
    slices = conditions(challenger) or {UNNAMED: np.arange(len(challenger))}
    metric = title(challenger.metric)
    drawn, axes = figure(height=1.4 + 0.55 * len(slices))
    systems = [("challenger", evidence.challenger, CHALLENGER)]
    if evidence.champion:
        systems.insert(0, ("champion", evidence.champion, CHAMPION))
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
    # above the bars, which may reach anywhere
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    heading = f"{metric[0].upper()}{metric[1:]} by recording condition"
    return Plot("by-condition.png", heading, "Clips of each condition in brackets.", png(drawn))


def _confusion(scores: ClipScores) -> Plot:
    """What the challenger took each class for; of many classes those with the most errors."""
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
    left = f"The {len(shown)} of {len(names)} classes with the most errors. " if len(shown) < len(names) else ""
    caption = f"{left}Clips of each label (row) that the challenger took for each class (column)."
    return Plot("confusion.png", "Which classes are confused", caption, png(drawn))


def _det(evidence: Evidence) -> Plot:
    """Detection error trade-off on normal-deviate axes (Martin et al. 1997)."""
    drawn, axes = figure(width=5.2, height=4.8)
    systems = [("challenger", evidence.challenger, CHALLENGER)]
    if evidence.champion:
        systems.insert(0, ("champion", evidence.champion, CHAMPION))
    measured = evidence.verdict.measured
    thresholds = (
        {"challenger": measured.challenger_threshold, "champion": measured.champion_threshold} if measured else {}
    )
    ticks = _deviate(np.array(_DET_TICKS))
    for name, scores, colour in systems:
        assert isinstance(scores, TrialScores)
        miss, false_alarm, _ = detection_curve(scores.scores, scores.targets)
        axes.plot(_deviate(false_alarm), _deviate(miss), color=colour, lw=2, label=name)
        threshold = thresholds.get(name)
        if threshold is not None:
            accepts, rejects = false_rates(scores.scores, scores.targets, threshold)
            axes.plot(*np.clip(_deviate(np.array([accepts, rejects])), ticks[0], ticks[-1]), "o", color=colour)
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
    caption = "Nearer to the lower left corner is better. Dots are the thresholds that the bundles carry."
    return Plot("det.png", "Detection error trade-off", caption, png(drawn))


def _deviate(shares: FloatArray) -> FloatArray:
    """Normal quantiles of shares, kept off 0 and 1."""
    from statistics import NormalDist

    grid = np.linspace(-4.0, 4.0, 2_001)
    levels = np.array([NormalDist().cdf(x) for x in grid])
    return np.interp(np.clip(shares, levels[0], levels[-1]), levels, grid)
