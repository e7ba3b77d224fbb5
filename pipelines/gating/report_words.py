"""Words of the gate's report in the reader's language. What the verdict itself says is signed, and stays English."""

from __future__ import annotations

import math

from pipelines.gating.plots import Plot
from pipelines.registry.verdict import Bounds, Outcome, Unit, Verdict
from pipelines.texts.message_catalogue import Texts
from pipelines.texts.rate_words import metric_words


def outcome_word(said: Texts, outcome: Outcome) -> str:
    """Return the outcome of a verdict, a check, a condition or a group."""
    return {"passed": said.say("passed"), "failed": said.say("failed"), "undecided": said.say("undecided")}[outcome]


def verdict_sentence(said: Texts, verdict: Verdict) -> str:
    """Return what a verdict means for the adapter."""
    if verdict.outcome == "passed":
        return said.say("This adapter may be promoted.")
    if verdict.outcome == "failed":
        return said.say("This adapter must not be promoted.")
    if any(check.undecided for check in verdict.checks):
        return said.say("A check is undecided; the adapter is not promoted.")
    return said.say("The golden set is too small to decide; the adapter is not promoted.")


def measured_on(said: Texts, verdict: Verdict, tokens: int, counted: str) -> str:
    """Return how much was measured, and how much more would decide; `tokens` are the words or characters, if any."""
    clips = said.say_many("%(number)s clip", "%(number)s clips", verdict.clips, number=f"{verdict.clips:,}")
    values = {"clips": clips, "unit": _unit(said, verdict.unit), "blocks": verdict.blocks}
    if counted == "word":
        values["tokens"] = said.say_many("%(number)s word", "%(number)s words", tokens, number=f"{tokens:,}")
    elif counted == "character":
        values["tokens"] = said.say_many("%(number)s character", "%(number)s characters", tokens, number=f"{tokens:,}")
    if "tokens" in values:
        text = said.say("%(clips)s with %(tokens)s, resampled by %(unit)s (%(blocks)s)", **values)
    else:
        text = said.say("%(clips)s, resampled by %(unit)s (%(blocks)s)", **values)
    if verdict.needed is None:
        return text
    number = f"{verdict.needed:,}"
    return text + said.say_many(
        "; needed: about %(number)s more clip", "; needed: about %(number)s more clips", verdict.needed, number=number
    )


def span_words(said: Texts, bounds: Bounds | None, signed: bool = False) -> str:
    """Return an interval: of a share in per cent, of a difference in points with its sign."""
    if bounds is None:
        return "–"
    if not all(math.isfinite(bound) for bound in bounds):
        return said.say("unknown")
    if signed:
        return f"{100 * bounds[0]:+.2f} … {100 * bounds[1]:+.2f}".replace("-", "−")
    return f"{100 * max(0.0, bounds[0]):.2f} … {100 * bounds[1]:.2f} %"


def errors_words(said: Texts, counted: str) -> str:
    """Return the heading of a column with the errors of clips, by what the metric counts."""
    words = {"word": said.say("wrong words"), "character": said.say("wrong characters")}
    return words.get(counted, said.say("errors"))


def plot_words(said: Texts, plot: Plot, verdict: Verdict) -> tuple[str, str]:
    """Return title and caption of a plot. The words inside of it are English: it is drawn once for all languages."""
    if plot.file == "bootstrap.png":
        caption = said.say(
            "Bootstrap draws over %(blocks)s %(unit)s. The shaded band is the interval that decides.",
            blocks=verdict.blocks,
            unit=_unit(said, verdict.unit),
        )
        return said.say("How sure is this?"), caption
    if plot.file == "by-condition.png":
        metric = metric_words(said, verdict.metric)
        title = said.say("%(metric)s by recording condition", metric=metric[0].upper() + metric[1:])
        return title, said.say("The number of clips of each condition is in brackets.")
    if plot.file == "confusion.png":
        caption = said.say("Number of clips by label (row) and predicted class (column).")
        if plot.shown < plot.classes:
            part = said.say(
                "The %(shown)s of %(classes)s classes with the most errors.", shown=plot.shown, classes=plot.classes
            )
            caption = f"{part} {caption}"
        return said.say("Which classes are confused"), caption
    return said.say("Detection error trade-off"), said.say(
        "Closer to the lower left corner is better. The dots are the thresholds stored in the bundles."
    )


def _unit(said: Texts, unit: Unit) -> str:
    return said.say("speakers") if unit == "speakers" else said.say("clips")
