"""What a study of `elp tune` found in sentences and rows, in the reader's language; English for the command line.

Titles of configurations, names of searched values and reasons of failures are of the record, and stay English.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipelines.number_text import duration
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts, texts
from pipelines.texts.rate_words import metric_words, percent_words, points_words
from pipelines.tuning.tuning_result import Finalist, TriedConfiguration, TuningResult


def tuning_findings(found: TuningResult, language: Texts | None = None) -> list[str]:
    """Return what the study found, in sentences: the decision, the confirmation, the search, what mattered."""
    said = language or texts("en")
    sentences = [_decision(said, found), *(_confirmed(said, found, one) for one in found.finalists)]
    sentences += [
        said.say(
            "%(title)s was not confirmed, because a training of its confirmation failed: %(reason)s. Run the command "
            "again to train it again.",
            title=in_english(said, one.title),
            reason=in_english(said, one.reason),
        )
        for one in found.unconfirmed
    ]
    sentences.append(_search(said, found))
    alone = next((trial for trial in found.trials if trial.role == "head only"), None)
    if alone and alone.value is not None and found.present.value is not None:
        sentences.append(
            said.say(
                "The head alone, without adapter parts, reaches %(metric)s %(alone)s as a trial; the present "
                "configuration reaches %(present)s.",
                metric=metric_words(said, found.metric),
                alone=percent_words(said, alone.value),
                present=percent_words(said, found.present.value),
            )
        )
    sentences.append(in_english(said, found.note[0].upper() + found.note[1:] + "."))
    if found.importances:
        named = [f"{name} ({share:.0%})" for name, share in list(found.importances.items())[:3]]
        sentences.append(
            said.say(
                "What made the most difference between good and other trials: %(names)s.",
                names=in_english(said, _listed(named)),
            )
        )
    return sentences


def front_heads(found: TuningResult, language: Texts | None = None) -> tuple[str, ...]:
    """Return the heads of the table of trials."""
    say, metric = (said := language or texts("en")).say, metric_words(said, found.metric)
    return say("configuration"), metric, say("trainable"), say("of the present"), say("time of an answer"), say("state")


def front_rows(
    found: TuningResult, trials: Sequence[TriedConfiguration], language: Texts | None = None
) -> list[list[str]]:
    """Return the rows of trials, with the columns that `front_heads` names."""
    said = language or texts("en")
    return [
        [
            _title(said, trial),
            percent_words(said, trial.value),
            f"{trial.parameters:,}" if trial.parameters else "–",
            f"{trial.parameters / found.present.parameters:.0%}" if trial.parameters else "–",
            said.say("%(factor)s × the backbone", factor=f"{trial.slowdown:.2f}") if trial.slowdown else "–",
            _state(said, trial),
        ]
        for trial in trials
    ]


def _title(said: Texts, trial: TriedConfiguration) -> str:
    title = in_english(said, trial.title)
    return said.say("present: %(title)s", title=title) if trial.role == "present" else title


def _state(said: Texts, trial: TriedConfiguration) -> str:
    states = {
        "finished": said.say("finished"),
        "pruned": said.say("pruned"),
        "failed": said.say("failed (run)"),
    }
    state = states[trial.state]
    return state if trial.within else said.say("%(state)s, outside the limits", state=state)


def _decision(said: Texts, found: TuningResult) -> str:
    present = found.present
    values = {"present": in_english(said, present.title), "number": f"{present.parameters:,}"}
    if found.winner is None:
        return said.say(
            "Keep the present configuration (%(present)s, %(number)s trainable parameters): no other one was "
            "confirmed.",
            **values,
        )
    winner = found.finalists[found.winner]
    values |= {
        "title": in_english(said, winner.tried.title),
        "share": f"{winner.tried.parameters / present.parameters:.0%}",
        "own": f"{winner.tried.parameters:,}",
    }
    if winner.against_present.relation == "better":
        return said.say(
            "Use %(title)s: better than the present configuration (%(present)s) with %(share)s of its trainable "
            "parameters (%(own)s instead of %(number)s).",
            **values,
        )
    return said.say(
        "Use %(title)s: no worse than the present configuration (%(present)s) with %(share)s of its trainable "
        "parameters (%(own)s instead of %(number)s).",
        **values,
    )


def _confirmed(said: Texts, found: TuningResult, one: Finalist) -> str:
    against = one.against_present
    interval = said.say("no interval from one speaker")
    if against.lower is not None and against.upper is not None:
        interval = said.say(
            "%(low)s to %(high)s", low=points_words(said, against.lower), high=points_words(said, against.upper)
        )
    relations = {
        "better": said.say("better"),
        "no worse": said.say("no worse"),
        "undecided": said.say("undecided"),
        "worse": said.say("worse"),
    }
    seeds = len(against.by_seed)
    text = said.say(
        "Confirmation of %(title)s: %(metric)s %(value)s, the present configuration %(present)s, difference %(delta)s "
        "(%(interval)s; margin %(margin)s; %(seeds)s, %(clips)s of %(blocks)s %(unit)s): %(relation)s.",
        title=in_english(said, one.tried.title),
        metric=metric_words(said, found.metric),
        value=percent_words(said, against.value),
        present=percent_words(said, against.present),
        delta=points_words(said, against.delta),
        interval=interval,
        margin=points_words(said, found.margin),
        seeds=said.say_many("%(number)s seed", "%(number)s seeds", seeds, number=seeds),
        clips=said.say_many("%(number)s clip", "%(number)s clips", against.clips, number=f"{against.clips:,}"),
        blocks=against.blocks,
        unit=said.say("speakers") if against.unit == "speakers" else said.say("clips"),
        relation=relations[against.relation],
    )
    if one.head_only is None:
        return text
    return text + said.say(" Its head alone reaches %(value)s as a trial.", value=percent_words(said, one.head_only))


def _search(said: Texts, found: TuningResult) -> str:
    searched = found.searched
    pruned, failed = (sum(trial.state == state for trial in searched) for state in ("pruned", "failed"))
    tried = said.say_many(
        "%(number)s configuration", "%(number)s configurations", len(searched), number=f"{len(searched):,}"
    )
    return said.say(
        "%(tried)s tried in %(time)s: %(pruned)s ended early, being worse at their rung, %(failed)s failed. Trials "
        "were trained for %(trial_epochs)s of %(epochs)s epochs; the confirmation for all of them, with the seeds "
        "%(seeds)s.",
        tried=tried,
        time=duration(found.seconds),
        pruned=pruned,
        failed=failed,
        trial_epochs=found.trial_epochs,
        epochs=found.epochs,
        seeds=_listed(found.seeds),
    )


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
