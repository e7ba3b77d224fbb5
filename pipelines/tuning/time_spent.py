"""The minutes that a study has used: the time in which at least one of its sessions ran.

A session notes the time every few seconds, so one that was killed has used the time up to its last note.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from elp_core.files import write_whole
from elp_core.types import Seconds
from pipelines.errors import StudyStopped
from pipelines.locks import file_lock

_EVERY: Seconds = 2.0
"""Time between two notes."""


@dataclass
class StudySession:
    """One process that works on a study."""

    folder: Path
    stopped: threading.Event = field(default_factory=threading.Event)
    """Is set if the session ends before its work is done."""
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    began: float = field(default_factory=time.time)
    _noted: float = 0.0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def go_on(self) -> None:
        """Note that the session runs; raise StudyStopped if it was stopped."""
        if self.stopped.is_set():
            raise StudyStopped("the trainings were stopped; run the command again: it continues the study")
        self.note()

    def note(self) -> None:
        """Note that the session runs; call it often."""
        with self._guard:
            if time.time() - self._noted < _EVERY:
                return
            self._noted = time.time()
            write_whole(self.folder / f"{self.name}.json", json.dumps([self.began, self._noted]))

    def close(self) -> None:
        """Note the end of the session."""
        self._noted = 0.0
        self.note()


@contextlib.contextmanager
def open_session(folder: Path) -> Iterator[StudySession]:
    """Give a session of the study in `folder`; its lock shows other processes that it is alive."""
    session = StudySession(folder / "sessions")
    with file_lock(session.folder / f"{session.name}.lock"):
        session.note()
        try:
            yield session
        finally:
            session.close()


def is_alive(folder: Path, name: str) -> bool:
    """Return whether the session of this name still runs."""
    path = folder / "sessions" / f"{name}.lock"
    if not path.is_file():
        return False
    try:
        with file_lock(path, wait=0):
            return False
    except TimeoutError:
        return True


def seconds_spent(folder: Path) -> Seconds:
    """Return the time in which the study's sessions ran; moments of several sessions at once count once."""
    periods = sorted(json.loads(path.read_text(encoding="utf-8")) for path in (folder / "sessions").glob("*.json"))
    total, until = 0.0, 0.0
    for began, ended in periods:
        total += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return total
