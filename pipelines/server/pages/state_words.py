"""States, units and terms in the reader's language. What this module does not know stays as it is recorded."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from pipelines.number_text import quantity
from pipelines.server.pages.counted_words import age, counted, lasting
from pipelines.server.pages.entry_words import entry_words
from pipelines.server.pages.record_words import data_words, page_words, quarantine_words
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts
from pipelines.texts.rate_words import metric_words, percent_words, points_words


def worded(said: Texts, word: str) -> str:
    """Return a word for people: a state, an outcome, a term of the glossary, or a word of records about data."""
    return _words(said).get(word, word)


def explained(said: Texts, meaning: str) -> str:
    """Return the meaning of a term of the glossary."""
    return said.translations.gettext(meaning)


@cache
def _words(said: Texts) -> dict[str, str]:
    return quarantine_words(said) | data_words(said) | page_words(said) | _terms(said) | _states(said)


def _states(said: Texts) -> dict[str, str]:
    say = said.say
    return {
        "passed": say("passed"),
        "failed": say("failed"),
        "undecided": say("undecided"),
        "not gated": say("not gated"),
        "passed against an older champion": say("passed against an older champion"),
        "failed against an older champion": say("failed against an older champion"),
        "undecided against an older champion": say("undecided against an older champion"),
        "candidate": say("candidate"),
        "challenger": say("challenger"),
        "champion": say("champion"),
        "retired": say("retired"),
        "rejected": say("rejected"),
        "rolled back": say("rolled back"),
        "override": say("override"),
        "refused": say("refused"),
        "untrained": say("untrained"),
        "good": say("checked"),
        "bad": say("risk"),
        "unknown": say("unknown"),
        "act": say("to do"),
        "watch": say("watch"),
        # of runs, as MLflow writes them
        "FINISHED": say("finished"),
        "RUNNING": say("running"),
        "SCHEDULED": say("scheduled"),
        "KILLED": say("killed"),
        "FAILED": say("failed (run)"),
        "promoted": say("promoted"),
        "override asked": say("override asked"),
        "override withdrawn": say("override withdrawn"),
        "overridden": say("overridden"),
        "override expired": say("override expired"),
        "migrated": say("migrated"),
        "migrated back": say("migrated back"),
    }


def _terms(said: Texts) -> dict[str, str]:
    say = said.say
    return {
        "golden set": say("golden set"),
        "interval": say("interval"),
        "point": say("point"),
        "condition": say("condition"),
        "normaliser": say("normaliser"),
        "gate": say("gate"),
        "margin": say("margin"),
        "limit": say("limit"),
        "closed set": say("closed set"),
        "against an older champion": say("against an older champion"),
        "drift": say("drift"),
        "slot": say("slot"),
        "backbone": say("backbone"),
        "adapter": say("adapter"),
        "dataset version": say("dataset version"),
        "lineage": say("lineage"),
        "verdict": say("verdict"),
        "evidence": say("evidence"),
        "ledger": say("ledger"),
        "error rate": say("error rate"),
        "Error rates": say("Error rates"),
        "Verdicts of the gate": say("Verdicts of the gate"),
        "States of a version": say("States of a version"),
        "Parts and records": say("Parts and records"),
    }


def _measured(said: Texts, value: float | None, name: str) -> str:
    """Return a measurement of a run with its unit, by its name."""
    return said.say("not recorded") if value is None else quantity(name, value)


WORDS: dict[str, Callable[..., str]] = {
    "worded": worded,
    "explained": explained,
    "points": points_words,
    "measured": _measured,
    "metric": metric_words,
    "percent": percent_words,
    "counted": counted,
    "lasting": lasting,
    "age": age,
    "sentence": entry_words,
    "english": in_english,
}
"""Filters that need the language, by their names in the templates."""
