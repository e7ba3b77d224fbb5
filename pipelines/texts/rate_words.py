"""Error rates and differences of them in the reader's language, for people who do not know the metrics."""

from __future__ import annotations

import math

from pipelines.number_text import metric_title, of_hundred, percent
from pipelines.texts.message_catalogue import Texts

Bounds = tuple[float | None, float | None]


def rate_words(said: Texts, metric: str, share: float, interval: Bounds | None = None) -> str:
    """Return an error rate and its interval as a sentence; empty for a metric of another task than ours."""
    if not math.isfinite(share):
        return ""
    low, high = interval or (None, None)
    within = _within(said, low, high) if low is not None and high is not None else ""
    number = of_hundred(share)
    if metric.startswith("wer"):
        if share > 1:
            return said.say("There are more errors than words.")
        return said.say("About %(number)s of 100 words are wrong%(within)s.", number=number, within=within)
    if metric.startswith("cer"):
        if share > 1:
            return said.say("There are more errors than characters.")
        return said.say("About %(number)s of 100 characters are wrong%(within)s.", number=number, within=within)
    if metric.startswith("eer"):
        return said.say(
            "About %(number)s of 100 comparisons of voices are decided wrongly%(within)s.", number=number, within=within
        )
    if metric.startswith("error_rate"):
        return said.say(
            "About %(number)s of 100 recordings get a wrong answer%(within)s.", number=number, within=within
        )
    return ""


def metric_words(said: Texts, metric: str) -> str:
    """Return a metric's name for people; the short names are the same in every language."""
    title = metric_title(metric)
    return said.say("error rate") if title == "error rate" else title


def percent_words(said: Texts, share: float | None) -> str:
    """Return a share as a percentage; a dash without one."""
    if share is None:
        return "–"
    return percent(share) if math.isfinite(share) else said.say("unknown")


def points_words(said: Texts, share: float) -> str:
    """Return a difference of shares in percentage points, signed."""
    if not math.isfinite(share):
        return said.say("unknown")
    number = f"{100 * share:+.2f}".replace("-", "−")
    return said.say("%(number)s points", number=number)


def _within(said: Texts, low: float, high: float) -> str:
    return said.say(" (%(low)s to %(high)s)", low=of_hundred(max(0.0, low)), high=of_hundred(high))
