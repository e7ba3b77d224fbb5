"""The report of a comparison: JSON, Markdown, a self-contained HTML page in each language, and its two plots."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elp_core.files import write_whole
from pipelines.comparison.comparison_words import (
    comparison_notes,
    curve_headers,
    curve_rows,
    method_headers,
    method_rows,
    repeat_headers,
    repeat_rows,
)
from pipelines.comparison.method_comparison import MethodComparison
from pipelines.html_report import figure, language_pages, png, render_page
from pipelines.number_text import metric_title
from pipelines.registry.plain_json import plain
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts
from pipelines.texts.rate_words import metric_words

COMPARISON_PAGE = "compare.html"
_INK, _CURVE, _FADED = "#1f5fa8", "#1b7f3b", "#9aa3ad"
_TEMPLATE = Path(__file__).with_name("comparison_report.html")


def write_comparison(found: MethodComparison, folder: Path) -> None:
    """Write the report's files into `folder`, over those of the same comparison."""
    write_whole(folder / "compare.json", json.dumps(plain(found), indent=1, sort_keys=True, allow_nan=False))
    write_whole(folder / "compare.md", comparison_markdown(found))
    pictures = draw_comparison(found)
    for name, page in language_pages(COMPARISON_PAGE, lambda said: comparison_html(said, found, pictures)).items():
        write_whole(folder / name, page)
    for number, picture in enumerate(pictures, start=1):
        write_whole(folder / f"picture-{number}.png", picture)


def comparison_markdown(found: MethodComparison) -> str:
    """Return the report as Markdown: findings, methods, learning curve."""
    parts = [
        f"# Methods compared on {found.slot}",
        "\n".join(f"- {sentence}" for sentence in found.findings),
        _markdown_table(method_headers(found), method_rows(found)),
    ]
    if curve := curve_rows(found):
        parts += [f"## Learning curve of {found.curve_method}", _markdown_table(curve_headers(found), curve)]
    if found.repeats:
        parts += ["## Seeds, rates and heads", _markdown_table(repeat_headers(), repeat_rows(found.repeats))]
    return "\n\n".join([*parts, " ".join(comparison_notes(found))]) + "\n"


def comparison_html(said: Texts, found: MethodComparison, pictures: Sequence[bytes]) -> str:
    """Return the report as one page that loads nothing from other addresses."""
    metric = metric_words(said, found.metric)
    titles = [
        said.say("%(metric)s against trainable parameters", metric=metric),
        said.say("Learning curve of %(method)s", method=found.curve_method),
    ]
    return render_page(
        _TEMPLATE,
        said,
        COMPARISON_PAGE,
        {"english": in_english},
        found=found,
        head=method_headers(found, said),
        rows=method_rows(found, said),
        curve_head=curve_headers(found, said),
        curve=curve_rows(found, said),
        pictures=[
            (title, base64.b64encode(picture).decode("ascii")) for title, picture in zip(titles, pictures, strict=False)
        ],
        repeat_heads=repeat_headers(said),
        repeated=repeat_rows(found.repeats, said) if found.repeats else [],
        notes=comparison_notes(found, said),
    )


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def draw_comparison(found: MethodComparison) -> list[bytes]:
    """Return PNG: the metric against trainable parameters, and the learning curve if there is one."""
    drawings = [(_draw_methods, "trainable parameters, millions")]
    if len(found.curve) > 1:
        drawings.append((_draw_curve, "minutes of training audio"))
    plots = []
    for draw, label in drawings:
        drawn, axes = figure(7.0, 3.6)
        draw(found, axes)
        axes.set(xscale="log", xlabel=label, ylabel=f"{metric_title(found.metric)}, %")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        plots.append(png(drawn))
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
