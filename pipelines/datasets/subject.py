"""The subject of an audit or an erasure: a speaker, or one recording."""

import shlex
from dataclasses import dataclass

from pipelines.errors import UsageError
from pipelines.registry.names import normal_name

_MIN_DIGITS = 8


@dataclass(frozen=True)
class Subject:
    """A speaker or a clip; exactly one of the two is set."""

    speaker: str = ""
    """In its normal form, whichever spelling it was given in."""
    clip: str = ""
    """Clip id (SHA-256 of the samples) or its first 8 digits or more; for a file in quarantine, its SHA-256."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "speaker", normal_name(self.speaker))
        if bool(self.speaker) == bool(self.clip):
            raise UsageError("give one of --speaker ID and --clip ID")
        object.__setattr__(self, "clip", self.clip.lower())
        if self.clip and (len(self.clip) < _MIN_DIGITS or not set(self.clip) <= set("0123456789abcdef")):
            raise UsageError(f"--clip takes the {_MIN_DIGITS} to 64 hexadecimal digits of a clip id, got {self.clip!r}")

    def matches(self, key: str, speaker: str) -> bool:
        """Return whether a row with this id and speaker, as they are stored, belongs to the subject."""
        # older releases stored names as they were delivered
        return normal_name(speaker) == self.speaker if self.speaker else key.startswith(self.clip)

    @property
    def option(self) -> str:
        """Return the subject as an option of the command line."""
        return f"--speaker {shlex.quote(self.speaker)}" if self.speaker else f"--clip {self.clip}"

    def __str__(self) -> str:
        return f"speaker {self.speaker}" if self.speaker else f"clip {self.clip}"
