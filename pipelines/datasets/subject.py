"""Whom or what an audit or an erasure is about: a speaker, or one recording."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pipelines.errors import UsageError

_MIN_DIGITS = 8


@dataclass(frozen=True)
class Subject:
    """A speaker or a clip; exactly one of the two is given."""

    speaker: str = ""
    """As the deliveries wrote it."""
    clip: str = ""
    """Clip id (SHA-256 of the samples) or its first 8 digits or more; a file's SHA-256 for one in quarantine."""

    def __post_init__(self) -> None:
        if bool(self.speaker) == bool(self.clip):
            raise UsageError("give one of --speaker ID and --clip ID")
        object.__setattr__(self, "clip", self.clip.lower())
        if self.clip and (len(self.clip) < _MIN_DIGITS or not set(self.clip) <= set("0123456789abcdef")):
            raise UsageError(f"--clip takes the {_MIN_DIGITS} to 64 hexadecimal digits of a clip id, got {self.clip!r}")

    def matches(self, key: str, speaker: str) -> bool:
        """Whether a row with this id and speaker is meant."""
        return speaker == self.speaker if self.speaker else key.startswith(self.clip)

    @property
    def option(self) -> str:
        """As it is typed on the command line."""
        return f"--speaker {shlex.quote(self.speaker)}" if self.speaker else f"--clip {self.clip}"

    def __str__(self) -> str:
        return f"speaker {self.speaker}" if self.speaker else f"clip {self.clip}"
