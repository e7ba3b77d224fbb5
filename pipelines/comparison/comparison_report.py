"""The report of a comparison: a folder with JSON, Markdown, one self-contained HTML page, and its two plots."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elp_core.files import write_whole
from elp_core.metrics.scores import COUNTED
from pipelines.comparison.findings import Difference, best_of, bounds_text, interval_text, millions
from pipelines.comparison.learning_curve import PredictedError
from pipelines.comparison.method_trial import MethodTrial
from pipelines.comparison.repeated_methods import HEADS, RepeatedComparison, repeat_rows
from pipelines.comparison.trial_runner import FailedTrial
from pipelines.html_report import figure, png, render_page
from pipelines.number_text import count, metric_title, percent
from pipelines.registry.plain_json import plain
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import texts

SLOTS = (1, 10, 100)
"""Numbers of slots for which the storage is shown."""
HEADERS = (
    "against the best", "trainable", "training", "peak memory",
    *(f"stored, {count(n, 'slot')}" for n in SLOTS), "RTF",
)  # fmt: skip
"""Columns after the method and its error rates."""
_INK, _CURVE, _FADED = "#1f5fa8", "#1b7f3b", "#9aa3ad"
_TEMPLATE = Path(__file__).with_name("comparison_report.html")


@dataclass(frozen=True)
class MethodComparison:
    """Several methods on one slot, and the learning curve of one of them."""

    slot: str
    dataset: str
    """Tag of the dataset version."""
    golden: str
    backbone: str
    fingerprint: str
    metric: str
    confidence: float
    closed_set: bool
    hardware: str
    methods: tuple[MethodTrial, ...]
    """All trained on the whole training split, in the order of the request."""
    differences: tuple[Difference, ...]
    """Differences of the pairs that `pairs_of` names."""
    about: dict[str, str]
    """One line on each method."""
    curve_method: str
    curve: tuple[MethodTrial, ...]
    """The curve's method at increasing shares of the training split."""
    ahead: tuple[PredictedError, ...]
    """What the curve predicts for more audio; empty if it predicts nothing."""
    failed: tuple[FailedTrial, ...]
    findings: tuple[str, ...]
    """What the numbers show, in sentences."""
    normaliser: str = ""
    """Name and digest of the rule that gave transcripts and answers their form; empty for English, the default."""
    repeats: RepeatedComparison | None = None
    """What several seeds, rates or heads add; None for one training of each method."""


def write_comparison(found: MethodComparison, folder: Path) -> None:
    """Write the report's files into `folder`, over those of the same comparison."""
    write_whole(folder / "compare.json", json.dumps(plain(found), indent=1, sort_keys=True, allow_nan=False))
    write_whole(folder / "compare.md", comparison_markdown(found))
    write_whole(folder / "compare.html", comparison_html(found))
    for number, picture in enumerate(_plots(found).values(), start=1):
        write_whole(folder / f"picture-{number}.png", picture)


def method_headers(found: MethodComparison) -> tuple[str, ...]:
    """Return the heads of the table of methods; rates that decide nothing are columns of their own."""
    return "method", "about", metric_title(found.metric), "interval", *_reported_heads(found), *HEADERS


def method_rows(found: MethodComparison) -> list[list[str]]:
    """Return the table of methods, with the columns that `method_headers` names."""
    best = best_of(found.methods).method
    changes = {one.method: one.text for one in found.differences if one.other == best}
    return [
        [
            trial.method,
            found.about[trial.method],
            percent(trial.value),
            interval_text(trial),
            *(percent(rate) for _, rate in sorted(trial.also.items())),
            changes.get(trial.method, "the best"),
            millions(trial.parameters),
            f"{trial.train_seconds:.0f} s, {trial.epochs} epochs",
            _size(trial.peak_bytes),
            *(_size(trial.backbone_bytes + n * trial.bundle_bytes) for n in SLOTS),
            f"{trial.real_time_factor:.4f}",
        ]
        for trial in found.methods
    ]


def comparison_markdown(found: MethodComparison) -> str:
    """Return the report as Markdown: findings, methods, learning curve."""
    parts = [
        f"# Methods compared on {found.slot}",
        "\n".join(f"- {sentence}" for sentence in found.findings),
        _markdown_table(method_headers(found), method_rows(found)),
    ]
    if curve := _curve_rows(found):
        parts += [f"## Learning curve of {found.curve_method}", _markdown_table(_curve_head(found), curve)]
    if found.repeats:
        parts += ["## Seeds, rates and heads", _markdown_table(HEADS, repeat_rows(found.repeats))]
    return "\n\n".join([*parts, _notes(found)]) + "\n"


def comparison_html(found: MethodComparison) -> str:
    """Return the report as one page that loads nothing from other addresses."""
    return render_page(
        _TEMPLATE,
        texts("en"),
        "",
        {"english": in_english},
        found=found,
        head=method_headers(found),
        curve_head=_curve_head(found),
        rows=method_rows(found),
        curve=_curve_rows(found),
        pictures=[(name, base64.b64encode(picture).decode("ascii")) for name, picture in _plots(found).items()],
        repeat_heads=HEADS,
        repeated=repeat_rows(found.repeats) if found.repeats else [],
        notes=_notes(found),
    )


def _curve_head(found: MethodComparison) -> tuple[str, ...]:
    return "minutes of training audio", "clips", metric_title(found.metric), "interval", *_reported_heads(found)


def _curve_rows(found: MethodComparison) -> list[list[str]]:
    """Return the learning curve, measured and predicted: minutes, clips, metric, interval, reported rates."""
    measured = [
        [f"{t.minutes:.1f}", str(t.clips), percent(t.value), interval_text(t)]
        + [percent(rate) for _, rate in sorted(t.also.items())]
        for t in found.curve
    ]
    unknown = ["–"] * len(_reported_heads(found))
    return measured + [
        [f"{p.minutes:.1f}", "predicted", percent(p.value), bounds_text(p.lower, p.upper), *unknown]
        for p in found.ahead
    ]


def _reported_heads(found: MethodComparison) -> list[str]:
    return [f"{metric_title(name)}, reported only" for name in sorted(found.methods[0].also)]


def _notes(found: MethodComparison) -> str:
    """Return how the numbers were measured."""
    closed = " Closed set: the training data has the same speakers as the golden set." if found.closed_set else ""
    counted = COUNTED.get(found.metric, "")
    size = f" The {metric_title(found.metric)} counts {count(found.methods[0].tokens, counted)}." if counted else ""
    rule = f" Transcripts and answers are under the normaliser {found.normaliser}." if found.normaliser else ""
    covered = "cover the sampling of the golden set only: each method was trained once, and another seed would change "
    covered += "the values too"
    if found.repeats and found.repeats.seeds > 1:
        covered = f"cover the sampling of the golden set and of {found.repeats.seeds} seeds; values are means over them"
    return (
        f"{found.dataset} on the golden set {found.golden}; backbone {found.backbone} ({found.fingerprint[:23]}…). "
        f"Intervals at {100 * found.confidence:g} % {covered}. Differences are paired: both methods on the same "
        "resampled clips or speakers. Stored: the backbone in float32 once, and a bundle for each slot. RTF: "
        f"seconds of computing for a second of audio. {found.hardware}.{size}{rule}{closed}"
    )


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _size(number: int) -> str:
    """Return a number of bytes as MB or GB."""
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def _plots(found: MethodComparison) -> dict[str, bytes]:
    """Return PNG by title: the metric against trainable parameters, and the learning curve if there is one."""
    metric = metric_title(found.metric)
    drawings = [(f"{metric} against trainable parameters", _draw_methods, "trainable parameters, millions")]
    if len(found.curve) > 1:
        drawings.append((f"Learning curve of {found.curve_method}", _draw_curve, "minutes of training audio"))
    plots = {}
    for title, draw, label in drawings:
        drawn, axes = figure(7.0, 3.6)
        draw(found, axes)
        axes.set(xscale="log", xlabel=label, ylabel=f"{metric}, %")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        plots[title] = png(drawn)
    return plots


def _draw_methods(found: MethodComparison, axes: Any) -> None:
    for trial in found.methods:
        millions, value = trial.parameters / 1e6, 100 * trial.value
        upper = 1.0 if trial.upper is None else trial.upper
        low, high = (min(100.0, max(0.0, 100 * bound)) for bound in (trial.lower, upper))
        axes.errorbar(
            [millions], [value], yerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
            fmt="o", color=_INK, ecolor=_FADED, capsize=3,
        )  # fmt: skip
        axes.annotate(trial.method, (millions, value), textcoords="offset points", xytext=(6, 4), fontsize=8)
    axes.margins(x=0.12)


def _draw_curve(found: MethodComparison, axes: Any) -> None:
    minutes, values = [t.minutes for t in found.curve], [100 * t.value for t in found.curve]
    axes.plot(minutes, values, "o-", color=_CURVE, label="measured")
    if found.ahead:
        ahead = [p.minutes for p in found.ahead]
        axes.plot([minutes[-1], *ahead], [values[-1], *(100 * p.value for p in found.ahead)], "--", color=_CURVE)
        low, high = [100 * p.lower for p in found.ahead], [100 * p.upper for p in found.ahead]
        axes.fill_between(ahead, low, high, color=_CURVE, alpha=0.15, lw=0, label="predicted, 95 %")
    axes.legend(frameon=False)
