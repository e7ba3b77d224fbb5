"""What a sweep shows in sentences and tables, in the reader's language; English for the command line.

What a family or a severity does is a text of the record, and stays English.
"""

from __future__ import annotations

from pipelines.robustness.sweep_result import Change, RobustnessSweep, SweptMean
from pipelines.texts.message_catalogue import Texts, texts
from pipelines.texts.rate_words import metric_words, percent_words, points_words


def sweep_sentences(found: RobustnessSweep, language: Texts | None = None) -> list[str]:
    """Return what the numbers show, a sentence each."""
    said = language or texts("en")
    metric, sentences = metric_words(said, found.metric), []
    for place, system in enumerate(found.systems):
        mean, per = found.overall.degradations[place], found.overall.normalised[place]
        worst = max(found.families, key=lambda one: one.degradations[place].value)
        sentences.append(
            said.say(
                "%(name)s: %(metric)s %(clean)s on the clean clips; under the conditions it changes by %(change)s on "
                "average, %(per)s points per dB. Hardest: %(worst)s (%(most)s).",
                name=system.name,
                metric=metric,
                clean=percent_words(said, system.clean.value),
                change=_change_text(said, mean),
                per=f"{per:.2f}",
                worst=worst.family,
                most=points_words(said, worst.degradations[place].value),
            )
        )
    if change := found.overall.difference:
        sentences.append(_compared(said, found, change))
    return sentences


def family_headers(found: RobustnessSweep, language: Texts | None = None) -> list[str]:
    """Return the heads of the table of families."""
    said = language or texts("en")
    whats = (said.say("degradation"), said.say("interval"), said.say("points per dB"))
    each = [f"{system.name}, {what}" for system in found.systems for what in whats]
    return [said.say("family"), said.say("what"), *each, *_both_heads(said, found, said.say("degradation"))]


def family_rows(found: RobustnessSweep, language: Texts | None = None) -> list[list[str]]:
    """Return a row for each family and one for all of them, with the columns of `family_headers`."""
    said = language or texts("en")
    return [_family_row(said, mean) for mean in (*found.families, found.overall)]


def cell_headers(found: RobustnessSweep, language: Texts | None = None) -> list[str]:
    """Return the heads of the table of conditions."""
    said = language or texts("en")
    whats = (metric_words(said, found.metric), said.say("degradation"), said.say("interval"))
    each = [f"{system.name}, {what}" for system in found.systems for what in whats]
    heads = [said.say("family"), said.say("severity"), said.say("what"), said.say("distance, dB")]
    return [*heads, *each, *_both_heads(said, found, metric_words(said, found.metric))]


def cell_rows(found: RobustnessSweep, language: Texts | None = None) -> list[list[str]]:
    """Return a row for each condition, with the columns of `cell_headers`."""
    said, rows = language or texts("en"), []
    for cell in found.cells:
        row = [cell.family, str(cell.severity), cell.strength, f"{cell.distance:.1f}"]
        for value, change in zip(cell.values, cell.degradations, strict=True):
            row += [percent_words(said, value), *_parts(said, change)]
        rows.append(row + (_parts(said, cell.difference) if cell.difference else []))
    return rows


def sweep_notes(said: Texts, found: RobustnessSweep) -> str:
    """Return how the numbers were measured."""
    clips = said.say_many("%(number)s clip", "%(number)s clips", found.clips, number=f"{found.clips:,}")
    values = {"clips": clips, "golden": found.golden}
    if found.clips == found.golden_clips:
        first = said.say("%(clips)s of %(golden)s", **values)
    else:
        first = said.say(
            "%(clips)s of %(golden)s, chosen by hash from %(all)s", **values, all=f"{found.golden_clips:,}"
        )
    rest = said.say(
        "; backbone %(backbone)s. Degradation: the metric under the condition minus that on the clean clips, in "
        "percentage points, with its %(confidence)s %% interval, resampled by %(unit)s (%(blocks)s). Points per dB: "
        "the mean degradation divided by the mean log-spectral distance of the changed clips from the clean ones. No "
        "training uses these families. Bundles: %(bundles)s.",
        backbone=found.backbone,
        confidence=f"{100 * found.confidence:g}",
        unit=said.say("speakers") if found.unit == "speakers" else said.say("clips"),
        blocks=found.blocks,
        bundles=", ".join(f"{one.name} {one.bundle}" for one in found.systems),
    )
    return first + rest


def _compared(said: Texts, found: RobustnessSweep, change: Change) -> str:
    """Return whether the second system degrades more than the first, as far as the interval shows it."""
    values = {"one": found.systems[1].name, "other": found.systems[0].name, "change": _change_text(said, change)}
    if change.lower is None or change.upper is None or change.lower <= 0 <= change.upper:
        return said.say("%(one)s degrades not clearly more or less than %(other)s: %(change)s on average.", **values)
    if change.value > 0:
        return said.say("%(one)s degrades more than %(other)s: %(change)s on average.", **values)
    return said.say("%(one)s degrades less than %(other)s: %(change)s on average.", **values)


def _both_heads(said: Texts, found: RobustnessSweep, what: str) -> list[str]:
    if len(found.systems) == 1:
        return []
    # a family's difference is one of degradations: a version that is worse by as much on clean clips has 0 there
    return [f"{found.systems[1].name} − {found.systems[0].name}, {what}", said.say("interval")]


def _family_row(said: Texts, mean: SweptMean) -> list[str]:
    row = [mean.family or said.say("all"), mean.about]
    for change, per in zip(mean.degradations, mean.normalised, strict=True):
        row += [*_parts(said, change), f"{per:.2f}"]
    return row + (_parts(said, mean.difference) if mean.difference else [])


def _parts(said: Texts, change: Change) -> list[str]:
    """Return a change and its interval in percentage points."""
    return [f"{100 * change.value:+.2f}".replace("-", "−"), _bounds_text(said, change)]


def _change_text(said: Texts, change: Change) -> str:
    return f"{points_words(said, change.value)} ({_bounds_text(said, change)})"


def _bounds_text(said: Texts, change: Change) -> str:
    if change.lower is None or change.upper is None:
        return said.say("unknown")
    return f"{100 * change.lower:+.2f} … {100 * change.upper:+.2f}".replace("-", "−")
