"""The spellings of the release before. They work for one release, are not in the help, and name the new ones."""

from collections.abc import Sequence

import click

_VERBS = {"run": "predict", "adapters": "versions list", "forget": "erasure plan"}
_REASONED = {"promote", "rollback", "retire", "withdraw"}
_SCHEDULE = {"add", "apply", "list", "pause", "resume", "remove"}


def translate(arguments: Sequence[str]) -> list[str]:
    """Return a verb and its arguments in the present spelling; an old one is noted on stderr."""
    verb, *rest = arguments
    if verb in _VERBS:
        _note(f"elp {verb}", f"elp {_VERBS[verb]}")
        return [*_VERBS[verb].split(), *rest]
    if verb in _REASONED and any(word.partition("=")[0] == "--why" for word in rest):
        _note("--why", "--reason")
        return [verb, *("--reason" + word[5:] if word.partition("=")[0] == "--why" else word for word in rest)]
    if verb == "versions" and not {"list", "-h", "--help"} & set(rest):
        _note("elp versions", "elp versions list")
        return [verb, "list", *rest]
    return [verb, *_schedule(rest)] if verb == "schedule" else [verb, *rest]


def _schedule(words: list[str]) -> list[str]:
    """Put the action first: it could come after options, and `elp schedule SITE/TASK --cron` named none."""
    if not words or words[0] in _SCHEDULE or "--help" in words or "-h" in words:
        return words or ["list"]
    for place, word in enumerate(words):
        if word in _SCHEDULE:
            return [word, *words[:place], *words[place + 1 :]]
    if "--cron" in words or any(word == "all" or "/" in word for word in words):
        _note("elp schedule SITE/TASK --cron", "elp schedule add SITE/TASK --cron")
        return ["add", *words]
    return words if not words[0].startswith("-") else ["list", *words]


def _note(old: str, new: str) -> None:
    click.echo(f"note: `{old}` is now `{new}`; the old spelling ends with the next release", err=True)
