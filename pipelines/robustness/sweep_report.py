"""The report of a sweep: a folder with JSON, one self-contained HTML page, and a picture for each family."""

import base64
import json
from pathlib import Path

from elp_core.files import replacing_folder
from pipelines.gating.plots import CHALLENGER, CHAMPION, INK
from pipelines.html_report import figure, png, render_page
from pipelines.number_text import count, metric_title, percent, points
from pipelines.registry.plain_json import plain
from pipelines.robustness.sweep_result import Change, RobustnessSweep, SweptMean

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
        (scratch / SWEEP_PAGE).write_text(sweep_page(found, pictures), encoding="utf-8")
        content = json.dumps(plain(found), indent=1, sort_keys=True, allow_nan=False)
        (scratch / SWEEP_FILE).write_text(content, encoding="utf-8")


def sweep_page(found: RobustnessSweep, pictures: dict[str, bytes]) -> str:
    """Return the report as one page that loads nothing from other addresses."""
    about = {mean.family: mean.about for mean in found.families}
    return render_page(
        _TEMPLATE,
        found=found,
        sentences=sweep_sentences(found),
        family_head=family_headers(found),
        family_rows=family_rows(found),
        cell_head=cell_headers(found),
        cell_rows=cell_rows(found),
        pictures=[(name, about[name], base64.b64encode(one).decode("ascii")) for name, one in pictures.items()],
        metric=metric_title(found.metric),
        notes=_notes(found),
    )


def sweep_sentences(found: RobustnessSweep) -> list[str]:
    """Return what the numbers show, a sentence each."""
    metric, sentences = metric_title(found.metric), []
    for place, system in enumerate(found.systems):
        mean, per = found.overall.degradations[place], found.overall.normalised[place]
        worst = max(found.families, key=lambda one: one.degradations[place].value)
        sentences.append(
            f"{system.name}: {metric} {percent(system.clean.value)} on the clean clips; under the conditions it "
            f"changes by {_change_text(mean)} on average, {per:.2f} points per dB. Hardest: {worst.family} "
            f"({points(worst.degradations[place].value)})."
        )
    if change := found.overall.difference:
        one, other = found.systems[1].name, found.systems[0].name
        sure = change.lower is not None and change.upper is not None and (change.lower > 0 or change.upper < 0)
        kind = ("more" if change.value > 0 else "less") if sure else "not clearly more or less"
        sentences.append(f"{one} degrades {kind} than {other}: {_change_text(change)} on average.")
    return sentences


def family_headers(found: RobustnessSweep) -> list[str]:
    """Return the heads of the table of families."""
    names = [system.name for system in found.systems]
    each = [f"{name}, {what}" for name in names for what in ("degradation", "interval", "points per dB")]
    return ["family", "what", *each, *([f"{names[1]} − {names[0]}", "interval"] if len(names) > 1 else [])]


def family_rows(found: RobustnessSweep) -> list[list[str]]:
    """Return a row for each family and one for all of them, with the columns of `family_headers`."""
    return [_family_row(mean) for mean in (*found.families, found.overall)]


def cell_headers(found: RobustnessSweep) -> list[str]:
    """Return the heads of the table of conditions."""
    names, metric = [system.name for system in found.systems], metric_title(found.metric)
    each = [f"{name}, {what}" for name in names for what in (metric, "degradation", "interval")]
    both = [f"{names[1]} − {names[0]}", "interval"] if len(names) > 1 else []
    return ["family", "severity", "what", "distance, dB", *each, *both]


def cell_rows(found: RobustnessSweep) -> list[list[str]]:
    """Return a row for each condition, with the columns of `cell_headers`."""
    rows = []
    for cell in found.cells:
        row = [cell.family, str(cell.severity), cell.strength, f"{cell.distance:.1f}"]
        for value, change in zip(cell.values, cell.degradations, strict=True):
            row += [percent(value), *_parts(change)]
        rows.append(row + (_parts(cell.difference) if cell.difference else []))
    return rows


def _family_row(mean: SweptMean) -> list[str]:
    row = [mean.family or "all", mean.about]
    for change, per in zip(mean.degradations, mean.normalised, strict=True):
        row += [*_parts(change), f"{per:.2f}"]
    return row + (_parts(mean.difference) if mean.difference else [])


def _parts(change: Change) -> list[str]:
    """Return a change and its interval in percentage points."""
    return [points(change.value).removesuffix(" points"), _bounds_text(change)]


def _change_text(change: Change) -> str:
    return f"{points(change.value)} ({_bounds_text(change)})"


def _bounds_text(change: Change) -> str:
    if change.lower is None or change.upper is None:
        return "unknown"
    return f"{100 * change.lower:+.2f} … {100 * change.upper:+.2f}".replace("-", "−")


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


def _notes(found: RobustnessSweep) -> str:
    part = "" if found.clips == found.golden_clips else f", chosen by hash from {found.golden_clips:,}"
    bundles = ", ".join(f"{one.name} {one.bundle}" for one in found.systems)
    return (
        f"{count(found.clips, 'clip')} of {found.golden}{part}; backbone {found.backbone}. Degradation: the metric "
        "under the condition minus that on the clean clips, in percentage points, with its "
        f"{100 * found.confidence:g} % interval, resampled by {found.unit} ({found.blocks}). Points per dB: the mean "
        "degradation divided by the mean log-spectral distance of the changed clips from the clean ones. No training "
        f"uses these families. Bundles: {bundles}."
    )
