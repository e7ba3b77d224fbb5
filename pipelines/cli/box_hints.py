"""Commands that messages name, as they work at a box: with ``--box DIR``.

The rooms do not know at which place a command was started, so their messages name commands without ``--box``. What is
printed while a command works in a box gets it here.
"""

from __future__ import annotations

import functools
import pkgutil
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click

_COMMAND = re.compile(r"\belp (?P<verb>[a-z][a-z-]*)(?: (?P<part>[a-z][a-z-]*))?")
_END = re.compile(r"[;,\n]|\belp ")
"""Where the arguments of a command in a sentence end at the latest."""


@dataclass(frozen=True)
class _PresentBox:
    """The box in which the command of this process works."""

    folder: Path
    named: bool
    """Whether ``--box`` named it; otherwise commands that only boxes have find it, too."""


# not in click's context: threads of `elp serve`, and the end of `elp` after an error, have none
_present: list[_PresentBox] = []


def note_box(folder: Path | None, *, named: bool = True) -> None:
    """Keep the box in which this command works, for `with_box`; None if it works in none."""
    _present[:] = [] if folder is None else [_PresentBox(folder, named)]


def with_box(text: str) -> str:
    """Return a message with ``--box DIR`` after each command in it that takes it, if this command works in a box."""
    if not _present:
        return text
    (box,) = _present

    def at_box(found: re.Match[str]) -> str:
        words = _words_before_box(found["verb"], found["part"] or "", box.named)
        given = "--box" in _END.split(text[found.end() :], maxsplit=1)[0]
        if not words or given:
            return found[0]
        return f"{words} --box {shlex.quote(str(box.folder))}{found[0][len(words) :]}"

    return _COMMAND.sub(at_box, text)


@functools.cache
def _words_before_box(verb: str, part: str, named: bool) -> str:
    """Return the words of a command after which ``--box`` is to be written; empty if it takes none, or needs none."""
    from pipelines.cli.main import verbs

    if (target := verbs().get(verb)) is None:
        return ""
    command, words = pkgutil.resolve_name(f"pipelines.cli.{target}"), f"elp {verb}"
    if isinstance(command, click.Group):
        command, words = command.commands.get(part), f"elp {verb} {part}"
    options = {parameter.name for parameter in command.params} if command else set[str | None]()
    # a command that has both works in a workspace unless a box is named
    return words if "box" in options and (named or "workspace" in options) else ""
