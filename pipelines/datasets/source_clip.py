"""A clip as an importer found it, before anything has been decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from elp_core.types import Seconds, Split

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "eval": "test",
}
"""What sources call their splits."""


@dataclass(frozen=True)
class Fault:
    """Why a clip cannot be used. `reason` is a short stable word, `detail` says it to people."""

    reason: str
    detail: str


@dataclass(frozen=True)
class SourceClip:
    """One recording of a delivery and what the delivery says of it."""

    path: str
    """Name inside the delivery, with forward slashes."""
    audio: Path | bytes
    text: str = ""
    """Transcript as written, not yet normalised."""
    speaker: str = ""
    label: str = ""
    split: Split | Literal[""] = ""
    """Empty where the source names none: the speaker then decides."""
    condition: str = ""
    start: Seconds = 0.0
    """Where the clip begins inside its file."""
    seconds: Seconds | None = None
    """Length from `start`; None takes the file to its end."""
    fault: Fault | None = None
    """Found by the importer: the clip goes to quarantine undecoded."""


@dataclass(frozen=True)
class Importer:
    """One format of delivery. `read` yields the same clips in the same order every time it is called."""

    name: str
    expects: str
    """What the source has to look like, in one line."""
    accepts: Callable[[Path], bool]
    """Whether a source looks like this format; cheap, never raises."""
    read: Callable[[Path], Iterator[SourceClip]]
    """Clips of the source; IntakeError lists all faults of the source as a whole."""


def undecodable(text: str) -> bool:
    """Whether `text` carries bytes that were not UTF-8 (kept as lone surrogates by ``errors="surrogateescape"``)."""
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def printable(text: str) -> str:
    """`text` with what UTF-8 cannot hold written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
