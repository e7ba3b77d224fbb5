"""Phrases that several parts of an audit say: numbers of things, and outcomes."""

from pipelines.registry.verdict import Outcome
from pipelines.texts.english_phrases import Phrase, phrase, phrase_many


def adapters_text(number: int) -> Phrase:
    """Return a number of adapters."""
    return phrase_many("%(number)s adapter", "%(number)s adapters", number)


def clips_text(number: int) -> Phrase:
    """Return a number of clips."""
    return phrase_many("%(number)s clip", "%(number)s clips", number)


def slots_text(number: int) -> Phrase:
    """Return a number of slots."""
    return phrase_many("%(number)s slot", "%(number)s slots", number)


def outcome_text(outcome: Outcome) -> Phrase:
    """Return the outcome of a verdict or of one of its checks."""
    return {"passed": phrase("passed"), "failed": phrase("failed"), "undecided": phrase("undecided")}[outcome]
