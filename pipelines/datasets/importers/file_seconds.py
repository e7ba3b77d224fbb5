"""The length of a sound file by its header, without decoding; of files with plain samples without libsndfile."""

from pathlib import Path

from elp_core.audio import probe
from elp_core.containers import content_of
from elp_core.containers.riff import plain_seconds
from elp_core.errors import AudioError
from elp_core.types import Seconds

_LONGEST: Seconds = 1e6
"""Streamed files name no length, or an impossible one."""


def file_seconds(path: Path) -> Seconds | None:
    """Return how long a file lasts by its header, or None if that cannot be read or names no length."""
    try:
        with content_of(path) as content:
            seconds = plain_seconds(content)
        if seconds is None:
            seconds = probe(path).seconds
    except (AudioError, OSError, ZeroDivisionError):
        return None
    return seconds if 0 < seconds < _LONGEST else None
