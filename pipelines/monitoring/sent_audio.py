"""The audio that a site sent: a folder or a manifest, with the session of each recording."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from elp_core.errors import AudioError
from pipelines.errors import UsageError
from pipelines.monitoring.block_scores import ScoredClip
from pipelines.monitoring.clip_scores import NamedSound, measure_sounds
from pipelines.number_text import count
from pipelines.registry.adapter_version import AdapterVersion

if TYPE_CHECKING:
    from elp_core.model import ElpModel

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus")
_COLUMNS = ("session", "speaker")
"""Columns of a manifest that name the block, the first that a line has."""
_PATHS = ("audio_filepath", "audio", "path")


@dataclass(frozen=True)
class SentClip:
    """A recording and the name of its session."""

    path: Path
    block: str
    text: str = ""
    """Transcript in a manifest that has it."""
    label: str = ""
    """Class in a manifest that has it."""


class AudioSource(Protocol):
    """Where a look takes its clips from."""

    def measured(
        self, model: ElpModel, champion: AdapterVersion, unreadable: Callable[[str], None]
    ) -> list[ScoredClip]:
        """Return the measured clips; why a recording is left out is reported to `unreadable`."""
        ...


@dataclass(frozen=True)
class SentAudio:
    """Recordings in a folder or a manifest, which the look measures."""

    path: Path
    column: str = ""
    """Column of a manifest that names the session."""
    may_be_empty: bool = False
    """Whether a site may have sent nothing; a source that does not exist is refused in any case."""
    log: Callable[[str], None] = print

    def measured(
        self, model: ElpModel, champion: AdapterVersion, unreadable: Callable[[str], None]
    ) -> list[ScoredClip]:
        """Return the measured recordings."""
        sent = read_source(self.path, self.column, may_be_empty=self.may_be_empty)
        self.log(f"measuring {count(len(sent), 'recording')} of {self.path}")
        return list(measure_sounds(model, decoded(sent, unreadable)))


def read_source(source: Path, column: str = "", *, may_be_empty: bool = False) -> list[SentClip]:
    """Return the recordings of a folder, or of a manifest in JSON lines.

    In a folder, a recording belongs to the session of its subfolder. In a manifest, the session is the value of
    `column`, or else of ``session`` or ``speaker``.

    Raises:
        UsageError: The source does not exist, has no recording, or does not name the sessions.
    """
    if source.is_dir():
        if column:
            raise UsageError(f"{source} is a folder and has no column {column!r}; a column is for a manifest")
        found = _of_folder(source)
    elif source.is_file():
        found = _of_manifest(source, column)
    else:
        raise UsageError(f"{source} does not exist; name a folder with a subfolder for each session, or a manifest")
    if not found and not may_be_empty:
        raise UsageError(f"{source} has no recording ({', '.join(SUFFIXES)})")
    return found


def decoded(clips: Sequence[SentClip], unreadable: Callable[[str], None]) -> Iterator[NamedSound]:
    """Yield each recording at 16 kHz; one that cannot be read is reported to `unreadable` and left out."""
    from elp_core import audio

    for clip in clips:
        try:
            yield NamedSound(clip.block, audio.load(clip.path))
        except AudioError as error:
            unreadable(str(error))


def _of_folder(source: Path) -> list[SentClip]:
    files = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    loose = [path for path in files if path.parent == source]
    if loose:
        raise UsageError(
            f"{len(loose)} recording(s) of {source} are in no subfolder, the first is {loose[0].name}; a subfolder is "
            "a session: make one for each, or give a manifest with a column session"
        )
    return [SentClip(path, path.parent.relative_to(source).as_posix()) for path in files]


def _of_manifest(source: Path, column: str) -> list[SentClip]:
    found, faults = [], []
    try:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is no manifest in UTF-8: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            faults.append(f"line {number} is no JSON: {error}")
            continue
        values = row if isinstance(row, dict) else {}
        path = next((values[name] for name in _PATHS if isinstance(values.get(name), str)), None)
        block = next((values[name] for name in ([column] if column else _COLUMNS) if values.get(name)), None)
        if path is None:
            faults.append(f"line {number} has no audio_filepath")
        elif not isinstance(block, str | int):
            faults.append(f"line {number} has no {column or 'session or speaker'}")
        else:
            text, label = (str(values.get(name) or "") for name in ("text", "label"))
            found.append(SentClip(source.parent / path, str(block), text, label))
    if faults:
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        raise UsageError(f"{source}: {faults[0]}{more}; correct the manifest, nothing was counted")
    return found
