"""The tables and the notes of a comparison in the reader's language; English for the command line and for Markdown."""

from __future__ import annotations

from elp_core.metrics.scores import COUNTED
from pipelines.comparison.findings import Difference, best_of, bounds_text, millions
from pipelines.comparison.method_comparison import MethodComparison
from pipelines.comparison.method_trial import MethodTrial
from pipelines.comparison.rate_budget import TriedRate, factor_text
from pipelines.comparison.repeated_methods import RepeatedComparison, RepeatedMethod
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts, texts
from pipelines.texts.rate_words import metric_words, percent_words

SLOTS = (1, 10, 100)
"""Numbers of slots for which the storage is shown."""


def method_headers(found: MethodComparison, language: Texts | None = None) -> tuple[str, ...]:
    """Return the heads of the table of methods; rates that decide nothing are columns of their own."""
    said = language or texts("en")
    say, many = said.say, said.say_many
    return (
        say("method"), say("about"), metric_words(said, found.metric), say("interval"), *_reported_heads(said, found),
        say("against the best"), say("trainable"), say("training"), say("peak memory"),
        *(many("stored, %(number)s slot", "stored, %(number)s slots", n, number=n) for n in SLOTS), "RTF",
    )  # fmt: skip


def method_rows(found: MethodComparison, language: Texts | None = None) -> list[list[str]]:
    """Return the table of methods, with the columns that `method_headers` names."""
    said = language or texts("en")
    best = best_of(found.methods).method
    changes = {one.method: _difference(said, one) for one in found.differences if one.other == best}
    return [
        [
            trial.method,
            found.about[trial.method],
            percent_words(said, trial.value),
            _interval(said, trial),
            *(percent_words(said, rate) for _, rate in sorted(trial.also.items())),
            changes.get(trial.method, said.say("the best")),
            millions(trial.parameters),
            said.say("%(seconds)s s, %(epochs)s epochs", seconds=f"{trial.train_seconds:.0f}", epochs=trial.epochs),
            _size(trial.peak_bytes),
            *(_size(trial.backbone_bytes + n * trial.bundle_bytes) for n in SLOTS),
            f"{trial.real_time_factor:.4f}",
        ]
        for trial in found.methods
    ]


def curve_headers(found: MethodComparison, language: Texts | None = None) -> tuple[str, ...]:
    """Return the heads of the learning curve."""
    said = language or texts("en")
    heads = said.say("minutes of training audio"), said.say("clips"), metric_words(said, found.metric)
    return *heads, said.say("interval"), *_reported_heads(said, found)


def curve_rows(found: MethodComparison, language: Texts | None = None) -> list[list[str]]:
    """Return the learning curve, measured and predicted, with the columns of `curve_headers`."""
    said = language or texts("en")
    measured = [
        [f"{t.minutes:.1f}", str(t.clips), percent_words(said, t.value), _interval(said, t)]
        + [percent_words(said, rate) for _, rate in sorted(t.also.items())]
        for t in found.curve
    ]
    unknown, predicted = ["–"] * len(found.methods[0].also), said.say("predicted")
    return measured + [
        [f"{p.minutes:.1f}", predicted, percent_words(said, p.value), bounds_text(p.lower, p.upper), *unknown]
        for p in found.ahead
    ]


def repeat_headers(language: Texts | None = None) -> tuple[str, ...]:
    """Return the heads of the table of several seeds, rates and heads."""
    say = (language or texts("en")).say
    return (
        say("method"),
        say("head"),
        say("mean and interval"),
        say("by seed"),
        say("rank"),
        say("rates ×"),
        say("validation by rate"),
    )


def repeat_rows(found: RepeatedComparison, language: Texts | None = None) -> list[list[str]]:
    """Return the table of methods by head, with the columns of `repeat_headers`."""
    said = language or texts("en")
    return [
        [
            one.method,
            one.head or said.say("default (head)"),
            f"{percent_words(said, one.value)} ({_repeated_interval(said, one)})",
            ", ".join(percent_words(said, value) for value in one.by_seed),
            f"{one.rank} ({one.rank_lower} … {one.rank_upper})",
            factor_text(one.factor),
            ", ".join(_tried(said, tried) for tried in one.tried) or "–",
        ]
        for one in found.methods
    ]


def comparison_notes(found: MethodComparison, language: Texts | None = None) -> list[str]:
    """Return how the numbers were measured, a part each."""
    said = language or texts("en")
    parts = [
        said.say(
            "%(dataset)s on the golden set %(golden)s; backbone %(backbone)s (%(fingerprint)s…).",
            dataset=found.dataset,
            golden=found.golden,
            backbone=found.backbone,
            fingerprint=found.fingerprint[:23],
        ),
        _covered(said, found),
        said.say(
            "Differences are paired: both methods on the same resampled clips or speakers. Stored: the backbone in "
            "float32 once, and a bundle for each slot. RTF: seconds of computing for a second of audio. %(hardware)s.",
            hardware=in_english(said, found.hardware),
        ),
    ]
    counted, tokens = COUNTED.get(found.metric, ""), found.methods[0].tokens
    if counted:
        nouns = {
            "word": said.say_many("%(number)s word", "%(number)s words", tokens, number=f"{tokens:,}"),
            "character": said.say_many("%(number)s character", "%(number)s characters", tokens, number=f"{tokens:,}"),
        }
        clips = said.say_many("%(number)s clip", "%(number)s clips", tokens, number=f"{tokens:,}")
        values = {"metric": metric_words(said, found.metric), "things": nouns.get(counted, clips)}
        parts.append(said.say("The %(metric)s counts %(things)s.", **values))
    if found.normaliser:
        parts.append(said.say("Transcripts and answers are under the normaliser %(name)s.", name=found.normaliser))
    if found.closed_set:
        parts.append(said.say("Closed set: the training data has the same speakers as the golden set."))
    return parts


def _covered(said: Texts, found: MethodComparison) -> str:
    """Return what the intervals cover."""
    confidence = f"{100 * found.confidence:g}"
    if found.repeats and found.repeats.seeds > 1:
        return said.say(
            "Intervals at %(confidence)s %% cover the sampling of the golden set and of %(seeds)s seeds; values are "
            "means over them.",
            confidence=confidence,
            seeds=found.repeats.seeds,
        )
    return said.say(
        "Intervals at %(confidence)s %% cover the sampling of the golden set only: each method was trained once, and "
        "another seed would change the values too.",
        confidence=confidence,
    )


def _reported_heads(said: Texts, found: MethodComparison) -> list[str]:
    names = sorted(found.methods[0].also)
    return [said.say("%(metric)s, reported only", metric=metric_words(said, name)) for name in names]


def _interval(said: Texts, trial: MethodTrial) -> str:
    return said.say("unknown") if trial.upper is None else bounds_text(trial.lower, trial.upper)


def _repeated_interval(said: Texts, one: RepeatedMethod) -> str:
    known = one.lower is not None and one.upper is not None
    return bounds_text(one.lower or 0.0, one.upper or 0.0) if known else said.say("unknown")


def _difference(said: Texts, one: Difference) -> str:
    value = said.say("%(number)s points", number=f"{100 * one.value:+.1f}")
    if one.lower is None or one.upper is None:
        return said.say("%(value)s (interval unknown)", value=value)
    return f"{value} ({100 * one.lower:+.1f} … {100 * one.upper:+.1f})"


def _tried(said: Texts, tried: TriedRate) -> str:
    value = said.say("failed (run)") if tried.validation is None else percent_words(said, tried.validation)
    return f"× {factor_text(tried.factor)}: {value}"


def _size(number: int) -> str:
    """Return a number of bytes as MB or GB."""
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"
