"""A look as an HTML page: which measurement moved, with a plot of each score."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from elp_core.files import write_whole
from pipelines.html_report import figure, png, render_page
from pipelines.monitoring.error_estimate import ErrorEstimate
from pipelines.monitoring.look import AudioLook, ScoreMove
from pipelines.monitoring.reference_record import ReferenceRecord
from pipelines.number_text import percent
from pipelines.registry.monitor_names import TITLES, UNITS

REPORT_FILE = "report.html"
_USUAL, _NOW, _ALARM = "#78838e", "#1f5fa8", "#b3261e"


def move_text(move: ScoreMove) -> str:
    """Return a score's change as text: ``18.2 dB to 9.1 dB (-3.1 deviations)``."""
    unit = UNITS.get(move.name, "")
    return f"{move.usual:.3g}{unit} to {move.now:.3g}{unit} ({move.deviations:+.1f} deviations)"


def look_sentence(look: AudioLook) -> str:
    """Return the outcome of a look in one sentence."""
    if look.moved:
        titles = [TITLES.get(name, name) for name in look.moved]
        return f"alarm: {', '.join(titles)} changed"
    if look.alarm_since:
        return f"alarm since {look.alarm_since}"
    return "no change found" if any(move.evidence for move in look.moves) or look.blocks else "no new block"


def estimate_text(estimate: ErrorEstimate) -> str:
    """Return an estimated error with its interval, or why it is not known."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return f"not known: {estimate.reason}"
    return f"{percent(estimate.value)} ({percent(estimate.low)} to {percent(estimate.high)})"


def write_report(folder: Path, look: AudioLook, record: ReferenceRecord, recent: Mapping[str, Sequence[float]]) -> Path:
    """Write the page of a look; `recent` are the last values of each score."""
    pictures = [
        (TITLES.get(move.name, move.name), move_text(move), _picture(move, record, recent.get(move.name, ())))
        for move in look.moves
    ]
    page = render_page(
        Path(__file__).with_name("look_report.html"),
        look=look,
        sentence=look_sentence(look),
        pictures=pictures,
        titles=TITLES,
        text=move_text,
        estimate=estimate_text(look.estimate),
    )
    target = folder / REPORT_FILE
    write_whole(target, page)
    return target


def _picture(move: ScoreMove, record: ReferenceRecord, recent: Sequence[float]) -> str:
    """Plot the blocks in order, over the range of the reference."""
    usual = np.array([block.scores[move.name] for block in record.blocks])
    low, high = np.quantile(usual, [0.05, 0.95])
    drawn, axes = figure(4.6)
    axes.axhspan(low, high, color=_USUAL, alpha=0.25, label="reference, 5 to 95 %")
    axes.axhline(move.usual, color=_USUAL, label="median of the reference")
    axes.plot(range(1, len(recent) + 1), recent, ".", color=_ALARM if move.alarm else _NOW, label="blocks of the site")
    axes.set_xlabel("block")
    axes.set_ylabel(move.name)
    axes.legend(fontsize="small", frameon=False)
    return base64.b64encode(png(drawn)).decode()
