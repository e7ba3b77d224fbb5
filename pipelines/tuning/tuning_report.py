"""The report of `elp tune`: a folder with JSON, one self-contained HTML page in each language, and its picture."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from elp_core.files import write_whole
from pipelines.html_report import figure, language_pages, png, render_page
from pipelines.number_text import metric_title
from pipelines.registry.plain_json import plain
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts
from pipelines.tuning.tuning_result import RESULT_FILE, TuningResult
from pipelines.tuning.tuning_words import front_heads, front_rows, tuning_findings

TUNING_PAGE = "tune.html"
_TEMPLATE = Path(__file__).with_name("tuning_report.html")
_OPEN, _FRONT, _OWN = "#9aa3ad", "#1f5fa8", "#b3261e"


def write_tuning_report(found: TuningResult, folder: Path) -> None:
    """Write the report's files into `folder`, over those of the same study."""
    picture = draw_front(found)
    write_whole(folder / RESULT_FILE, json.dumps(plain(found), indent=1, sort_keys=True, allow_nan=False))
    for name, page in language_pages(TUNING_PAGE, lambda said: tuning_html(said, found, picture)).items():
        write_whole(folder / name, page)
    write_whole(folder / "front.png", picture)


def tuning_html(said: Texts, found: TuningResult, picture: bytes) -> str:
    """Return the report as one page that loads nothing from other addresses."""
    return render_page(
        _TEMPLATE,
        said,
        TUNING_PAGE,
        {"english": in_english},
        found=found,
        findings=tuning_findings(found, said),
        heads=front_heads(found, said),
        front=front_rows(found, found.front(), said),
        every=front_rows(found, found.trials, said),
        importances=[(name, f"{share:.0%}") for name, share in found.importances.items()],
        layers=[(str(layer), f"{share:.0%}") for layer, share in enumerate(found.layer_shares)],
        change=json.dumps(plain(found.change), indent=2) if found.change else "",
        picture=base64.b64encode(picture).decode("ascii"),
    )


def draw_front(found: TuningResult) -> bytes:
    """Return the PNG of error against trainable parameters, with the front of the trials."""
    drawn, axes = figure(7.0, 3.6)
    groups = (
        ([t for t in found.searched if t.state == "pruned"], "ended early", _OPEN, "x"),
        ([t for t in found.searched if t.state == "finished"], "trial", _FRONT, "o"),
        ([t for t in found.trials if t.role == "head only"], "head alone", _OPEN, "s"),
        ([found.present], "present", _OWN, "D"),
    )
    for trials, label, colour, marker in groups:
        shown = [(trial.parameters, 100 * trial.value) for trial in trials if trial.value is not None]
        if shown:
            axes.scatter(*zip(*shown, strict=True), label=label, color=colour, marker=marker, s=26)
    front = [(trial.parameters, 100 * (trial.value or 0.0)) for trial in found.front()]
    axes.step(*zip(*front, strict=True), where="post", color=_FRONT, linewidth=0.8)
    axes.axvline(found.parameter_limit, color=_OPEN, linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlabel("trainable parameters (dotted: the limit of the search)")
    axes.set_ylabel(f"{metric_title(found.metric)} in %, as a trial")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return png(drawn)
