"""Numbers of things, and numbers of days, in the reader's language."""

from __future__ import annotations

from datetime import datetime

from pipelines.server.pages.filters import parse_moment
from pipelines.texts.message_catalogue import Texts

_DAY = 86_400


def counted(said: Texts, number: int, noun: str) -> str:
    """Return a number of things; raise KeyError for a noun that the pages do not count."""
    shown = f"{number:,}"
    return {
        "adapter": said.say_many("%(number)s adapter", "%(number)s adapters", number, number=shown),
        "champion": said.say_many("%(number)s champion", "%(number)s champions", number, number=shown),
        "clip": said.say_many("%(number)s clip", "%(number)s clips", number, number=shown),
        "condition": said.say_many("%(number)s condition", "%(number)s conditions", number, number=shown),
        "data file": said.say_many("%(number)s data file", "%(number)s data files", number, number=shown),
        "group": said.say_many("%(number)s group", "%(number)s groups", number, number=shown),
        "item": said.say_many("%(number)s item", "%(number)s items", number, number=shown),
        "label": said.say_many("%(number)s label", "%(number)s labels", number, number=shown),
        "look": said.say_many("%(number)s look", "%(number)s looks", number, number=shown),
        "new clip": said.say_many("%(number)s new clip", "%(number)s new clips", number, number=shown),
        "request": said.say_many("%(number)s request", "%(number)s requests", number, number=shown),
        "slot": said.say_many("%(number)s slot", "%(number)s slots", number, number=shown),
        "speaker": said.say_many("%(number)s speaker", "%(number)s speakers", number, number=shown),
        "trial": said.say_many("%(number)s trial", "%(number)s trials", number, number=shown),
    }[noun]


def lasting(said: Texts, seconds: float) -> str:
    """Return a length of time in days."""
    days = seconds / _DAY
    # 1.5 days are more than one
    number, shown = 1 if days == 1 else 2, f"{days:g}"
    return said.say_many("%(number)s day", "%(number)s days", number, number=shown)


def age(said: Texts, text: str, now: datetime) -> str:
    """Return the time since then in its largest whole unit, such as ``3 d``; a dash for an empty text."""
    if not text:
        return "–"
    seconds = max(0, int((now - parse_moment(text)).total_seconds()))
    if years := seconds // (365 * _DAY):
        return said.say("%(number)s y", number=years)
    if days := seconds // _DAY:
        return said.say("%(number)s d", number=days)
    if hours := seconds // 3600:
        return said.say("%(number)s h", number=hours)
    if minutes := seconds // 60:
        return said.say("%(number)s min", number=minutes)
    return said.say("%(number)s s", number=seconds)


def units_words(said: Texts, size: int, kind: str) -> str:
    """Return a number of units and what they are, as `elp_core.languages.units_text` does in English."""
    kinds = {
        "characters": said.say_many("%(number)s character", "%(number)s characters", size, number=size),
        "letters": said.say_many("%(number)s letter", "%(number)s letters", size, number=size),
        "syllables": said.say_many("%(number)s syllable", "%(number)s syllables", size, number=size),
        "bpe": said.say_many("%(number)s subword (bpe)", "%(number)s subwords (bpe)", size, number=size),
    }
    return kinds.get(kind) or f"{size} {kind}"
