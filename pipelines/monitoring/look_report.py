"""A look as an HTML page in each language: which measurement moved, with a plot of each score."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elp_core.files import write_whole
from pipelines.html_report import figure, language_pages, png, render_page
from pipelines.monitoring.error_estimate import ErrorEstimate
from pipelines.monitoring.look import AudioLook, ScoreMove
from pipelines.monitoring.reference_record import ReferenceRecord
from pipelines.registry.monitor_names import TITLES, UNITS
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts, texts
from pipelines.texts.rate_words import percent_words

REPORT_FILE = "report.html"
_USUAL, _NOW, _ALARM = "#78838e", "#1f5fa8", "#b3261e"


def score_title(said: Texts, name: str) -> str:
    """Return the title of a score; the name of one that is not known."""
    return said.translations.gettext(TITLES.get(name, name))


def move_text(move: ScoreMove, language: Texts | None = None) -> str:
    """Return a score's change as text: ``18.2 dB to 9.1 dB (-3.1 deviations)``."""
    said, unit = language or texts("en"), UNITS.get(move.name, "")
    return said.say(
        "%(usual)s to %(now)s (%(deviations)s deviations)",
        usual=f"{move.usual:.3g}{unit}",
        now=f"{move.now:.3g}{unit}",
        deviations=f"{move.deviations:+.1f}",
    )


def look_sentence(look: AudioLook, language: Texts | None = None) -> str:
    """Return the outcome of a look in one sentence."""
    said = language or texts("en")
    if look.moved:
        titles = ", ".join(score_title(said, name) for name in look.moved)
        return said.say("alarm: %(titles)s changed", titles=titles)
    if look.alarm_since:
        return said.say("alarm since %(moment)s", moment=look.alarm_since)
    if any(move.evidence for move in look.moves) or look.blocks:
        return said.say("no change found")
    return said.say("no new block")


def estimate_text(estimate: ErrorEstimate) -> str:
    """Return an estimated error with its interval, or why it is not known."""
    return known_estimate(texts("en"), estimate) or f"not known: {estimate.reason}"


def known_estimate(said: Texts, estimate: ErrorEstimate) -> str:
    """Return an estimated error with its interval; empty if it is not known."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return ""
    return said.say(
        "%(value)s (%(low)s to %(high)s)",
        value=percent_words(said, estimate.value),
        low=percent_words(said, estimate.low),
        high=percent_words(said, estimate.high),
    )


@dataclass(frozen=True)
class LookReport:
    """A look with its pictures, which are drawn once for all languages."""

    look: AudioLook
    pictures: tuple[str, ...]
    """PNG of each score in base64, in the order of the look's moves."""

    def pages(self, name: str) -> dict[str, str]:
        """Return the page in every language by its file; `name` is that of the English one."""
        return language_pages(name, lambda said: self._page(said, name))

    def _page(self, said: Texts, name: str) -> str:
        look = self.look
        return render_page(
            Path(__file__).with_name("look_report.html"),
            said,
            name,
            {"score": score_title, "english": in_english},
            look=look,
            sentence=look_sentence(look, said),
            moves=[(move, move_text(move, said), one) for move, one in zip(look.moves, self.pictures, strict=True)],
            estimate=known_estimate(said, look.estimate),
        )


def draw_look(look: AudioLook, record: ReferenceRecord, recent: Mapping[str, Sequence[float]]) -> LookReport:
    """Return the report of a look; `recent` are the last values of each score."""
    return LookReport(look, tuple(_picture(move, record, recent.get(move.name, ())) for move in look.moves))


def write_report(folder: Path, report: LookReport) -> Path:
    """Write the pages of a look in place of those of the one before, and return the English one."""
    for name, page in report.pages(REPORT_FILE).items():
        write_whole(folder / name, page)
    return folder / REPORT_FILE


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
