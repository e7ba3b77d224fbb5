"""The report of a sweep: a folder with JSON, a self-contained HTML page in each language, and a picture by family."""

import base64
import json
from pathlib import Path

from elp_core.files import replacing_folder
from pipelines.gating.plots import CHALLENGER, CHAMPION, INK
from pipelines.html_report import figure, language_pages, png, render_page
from pipelines.number_text import metric_title
from pipelines.registry.plain_json import plain
from pipelines.robustness.sweep_result import Change, RobustnessSweep
from pipelines.robustness.sweep_words import (
    cell_headers,
    cell_rows,
    family_headers,
    family_rows,
    sweep_notes,
    sweep_sentences,
)
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts
from pipelines.texts.rate_words import metric_words

SWEEP_FILE = "sweep.json"
SWEEP_PAGE = "sweep.html"
_TEMPLATE = Path(__file__).with_name("sweep_report.html")
_COLOURS = (CHALLENGER, CHAMPION)
"""Of the one version, or of the version that is compared, and of the champion."""


def write_sweep(found: RobustnessSweep, folder: Path) -> None:
    """Write the report's folder whole or not at all, in place of that of the same sweep."""
    pictures = {mean.family: _curve(found, mean.family) for mean in found.families}
    with replacing_folder(folder) as scratch:
        for name, picture in pictures.items():
            (scratch / f"{name}.png").write_bytes(picture)
        for name, page in language_pages(SWEEP_PAGE, lambda said: sweep_page(said, found, pictures)).items():
            (scratch / name).write_text(page, encoding="utf-8")
        content = json.dumps(plain(found), indent=1, sort_keys=True, allow_nan=False)
        (scratch / SWEEP_FILE).write_text(content, encoding="utf-8")


def sweep_page(said: Texts, found: RobustnessSweep, pictures: dict[str, bytes]) -> str:
    """Return the report as one page that loads nothing from other addresses."""
    about = {mean.family: mean.about for mean in found.families}
    return render_page(
        _TEMPLATE,
        said,
        SWEEP_PAGE,
        {"english": in_english},
        found=found,
        sentences=sweep_sentences(found, said),
        family_head=family_headers(found, said),
        family_rows=family_rows(found, said),
        cell_head=cell_headers(found, said),
        cell_rows=cell_rows(found, said),
        pictures=[(name, about[name], base64.b64encode(one).decode("ascii")) for name, one in pictures.items()],
        metric=metric_words(said, found.metric),
        notes=sweep_notes(said, found),
    )


def _curve(found: RobustnessSweep, family: str) -> bytes:
    """Plot the metric of each system against the severities of one family, from clean on."""
    cells = [cell for cell in found.cells if cell.family == family]
    drawn, axes = figure(4.6, 2.8)
    places = range(len(cells) + 1)
    # the champion is the first of two systems, and is drawn in its own colour
    for place, system in reversed(list(enumerate(found.systems))):
        colour = _COLOURS[0] if place == len(found.systems) - 1 else _COLOURS[1]
        values = [100 * value for value in (system.clean.value, *(cell.values[place] for cell in cells))]
        axes.plot(places, values, "o-", color=colour, lw=2, ms=4, label=system.name)
        low, high = zip(*[_band(cell.degradations[place], system.clean.value) for cell in cells], strict=True)
        axes.fill_between(list(places)[1:], low, high, color=colour, alpha=0.12, lw=0)
    axes.axhline(100 * found.systems[0].clean.value, color=INK, lw=0.6, ls=":")
    axes.set_xticks(list(places), ["clean", *(cell.strength.replace(", ", "\n") for cell in cells)], fontsize=7)
    axes.set_ylabel(f"{metric_title(found.metric)}, %")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return png(drawn)


def _band(change: Change, clean: float) -> tuple[float, float]:
    """Return the interval of the degradation around the clean value, in per cent; the value itself if it is unknown."""
    low = change.value if change.lower is None else change.lower
    high = change.value if change.upper is None else change.upper
    return max(0.0, 100 * (clean + low)), 100 * (clean + high)
