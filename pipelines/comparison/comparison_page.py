"""The comparison as one self-contained HTML page with its two pictures."""

from __future__ import annotations

import base64
from pathlib import Path

from elp_core.metrics.scores import title
from pipelines.comparison.result import HEADERS, Comparison, curve_rows, notes, rows
from pipelines.html_report import figure, png, render_page

INK, CURVE, FADED = "#1f5fa8", "#1b7f3b", "#9aa3ad"
_TEMPLATE = Path(__file__).with_name("comparison_page.html")


def render(found: Comparison) -> str:
    """The page; it loads nothing from anywhere."""
    pictures = [(name, base64.b64encode(png).decode("ascii")) for name, png in draw(found).items()]
    return render_page(
        _TEMPLATE,
        found=found,
        head=HEADERS,
        rows=rows(found),
        curve=curve_rows(found),
        pictures=pictures,
        notes=notes(found),
        metric=title(found.metric),
    )


def draw(found: Comparison) -> dict[str, bytes]:
    """PNG by title: the metric against trainable parameters, and the learning curve where there is one."""
    metric = title(found.metric)
    pictures = {f"{metric} against trainable parameters": _methods(found)}
    if len(found.curve) > 1:
        pictures[f"Learning curve of {found.curve_method}"] = _curve(found)
    return pictures


def _methods(found: Comparison) -> bytes:
    drawn, axes = figure(7.0, 3.6)
    for trial in found.methods:
        millions, value = trial.parameters / 1e6, 100 * trial.value
        upper = 1.0 if trial.upper is None else trial.upper
        low, high = (min(100.0, max(0.0, 100 * bound)) for bound in (trial.lower, upper))
        axes.errorbar(
            [millions], [value], yerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
            fmt="o", color=INK, ecolor=FADED, capsize=3,
        )  # fmt: skip
        axes.annotate(trial.method, (millions, value), textcoords="offset points", xytext=(6, 4), fontsize=8)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("trainable parameters, millions")
    axes.set_ylabel(f"{title(found.metric)}, %")
    axes.grid(alpha=0.25)
    return png(drawn)


def _curve(found: Comparison) -> bytes:
    drawn, axes = figure(7.0, 3.6)
    minutes, values = [t.minutes for t in found.curve], [100 * t.value for t in found.curve]
    axes.plot(minutes, values, "o-", color=CURVE, label="measured")
    if found.ahead:
        ahead = [p.minutes for p in found.ahead]
        axes.plot([minutes[-1], *ahead], [values[-1], *(100 * p.value for p in found.ahead)], "--", color=CURVE)
        low, high = (
            [100 * bound for bound in bounds] for bounds in zip(*((p.lower, p.upper) for p in found.ahead), strict=True)
        )
        axes.fill_between(ahead, low, high, color=CURVE, alpha=0.15, lw=0, label="predicted, 95 %")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("minutes of training audio")
    axes.set_ylabel(f"{title(found.metric)}, %")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return png(drawn)
