"""States, units and terms in the reader's language. What this module does not know stays as it is recorded."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from pipelines.server.pages.filters import measured
from pipelines.server.read_models.rate_words import points_words
from pipelines.texts.message_catalogue import Texts


def worded(said: Texts, word: str) -> str:
    """Return a word for people: a state of a version or a run, an outcome, a tone, or a term of the glossary."""
    return _states(said).get(word) or _terms(said).get(word) or word


def explained(said: Texts, meaning: str) -> str:
    """Return the meaning of a term of the glossary."""
    return said.translations.gettext(meaning)


@cache
def _states(said: Texts) -> dict[str, str]:
    say = said.say
    return {
        "passed": say("passed"),
        "failed": say("failed"),
        "undecided": say("undecided"),
        "not gated": say("not gated"),
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
        "finished": say("finished"),
        "running": say("running"),
        "scheduled": say("scheduled"),
        "killed": say("killed"),
        "promoted": say("promoted"),
        "override asked": say("override asked"),
        "override withdrawn": say("override withdrawn"),
        "overridden": say("overridden"),
    }


@cache
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
    return said.say("not recorded") if value is None else measured(value, name)


WORDS: dict[str, Callable[..., str]] = {
    "worded": worded,
    "explained": explained,
    "points": points_words,
    "measured": _measured,
}
"""Filters that need the language, by their names in the templates."""
