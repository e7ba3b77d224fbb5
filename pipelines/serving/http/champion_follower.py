"""Follows the champions while a server runs: a changed one is loaded next to the old one, then takes its place."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from elp_core.errors import ElpError
from elp_core.types import Seconds
from pipelines.registry.slot import Slot
from pipelines.serving.champion_source import Champion, ChampionSource
from pipelines.serving.http.served_set import ServedSet

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("elp.serve")
_AGAIN: Seconds = 30.0
"""After which a version that could not be loaded is tried again."""


@dataclass(frozen=True)
class SlotProblem:
    """Why a slot is not served, or is served by an older version than its champion."""

    effect: str
    cause: str = ""
    """For people who may see addresses and paths of the server."""

    def __str__(self) -> str:
        return f"{self.effect}: {self.cause}" if self.cause else self.effect


@dataclass(frozen=True)
class FollowState:
    """What the last look at the source of champions found."""

    reachable: bool = False
    last_look: float = 0.0
    """The last one that was answered, in seconds since the epoch; 0 before the first."""
    error: str = ""
    """Why the source does not answer; empty if it does."""
    updates_stopped: str = ""
    """Why no new champions come although the source answers, such as expired metadata; empty if they do."""
    problems: Mapping[Slot, SlotProblem] = field(default_factory=dict)
    changes: int = 0
    """Versions that were taken into service since the start."""
    failures: int = 0
    """Versions that could not be loaded."""


class ChampionFollower:
    """Keeps a `ServedSet` at the champions of a source. If the source is away, what is loaded is served on.

    Args:
        source: Is asked every `every` seconds.
        served: Is changed by this object only.
        every: Seconds between two looks.
        report: Called with a sentence for each change and each new problem.
    """

    def __init__(
        self, source: ChampionSource, served: ServedSet, every: Seconds = 2.0, report: Callable[[str], None] = print
    ) -> None:
        self._source, self._served, self._every, self._report = source, served, every, report
        self._state = FollowState()
        self._failed: dict[tuple[Slot, Champion], float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="elp-champions", daemon=True)

    @property
    def state(self) -> FollowState:
        """What the last look found."""
        return self._state

    @property
    def alive(self) -> bool:
        """Whether the thread that looks is running."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Look again and again in a thread, until `close`."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; a bundle that is being loaded is finished first."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> FollowState:
        """Take the present champions into service, and return what was found. No error of them is raised."""
        try:
            wanted = self._source.champions()
            stopped = self._source.updates_stopped()
        except Exception as error:
            _log_unexpected(error, self._source.name)
            if self._state.reachable or not self._state.error:
                self._report(f"{self._source.name} does not answer, what is loaded is served on: {error}")
            self._state = replace(self._state, reachable=False, error=_text(error))
            return self._state
        if not self._state.reachable and self._state.error:
            self._report(f"{self._source.name} answers again")
        if stopped and stopped != self._state.updates_stopped:
            self._report(f"what is loaded is served on, and no new champions come: {stopped}")
        problems: dict[Slot, SlotProblem] = {}
        for slot, champion in wanted.items():
            if problem := self._follow_slot(slot, champion):
                problems[slot] = problem
        for served in self._served.versions:
            if wanted.get(served.slot) is None:
                self._served.drop(served.slot)
                self._report(f"{served.slot} has no champion any more, it is not served")
        self._state = replace(
            self._state,
            reachable=True,
            last_look=time.time(),
            error="",
            updates_stopped=stopped,
            problems=problems,
        )
        return self._state

    def _follow_slot(self, slot: Slot, champion: Champion | None) -> SlotProblem | None:
        """Take a version into service if it is not; return why that did not succeed."""
        if champion is None:
            return SlotProblem("it has no champion")
        present, version = self._served.find(slot), champion.version
        if present is not None and present.version == version and champion.bundle in ("", present.digest):
            return None
        known = self._state.problems.get(slot)
        if known and time.monotonic() < self._failed.get((slot, champion), 0.0):
            return known
        try:
            bundle = self._source.fetch(slot, version)
            self._served.put(slot, version, bundle.folder, bundle.digest, time.time())
        except Exception as error:
            # memory that is full, or a fault of one bundle, is the problem of this slot, and not the end of the others
            _log_unexpected(error, f"{slot} version {version}")
            self._failed[slot, champion] = time.monotonic() + _AGAIN
            self._state = replace(self._state, failures=self._state.failures + 1)
            still = f"version {present.version} is served on" if present else "it is not served"
            problem = SlotProblem(f"version {version} cannot be loaded, {still}", _text(error))
            self._report(f"{slot}: {problem}")
            return problem
        self._failed.pop((slot, champion), None)
        self._state = replace(self._state, changes=self._state.changes + 1)
        self._report(f"{slot}: version {version} is served")
        return None

    def _follow(self) -> None:
        while not self._stop.wait(self._every):
            try:
                self.look()
            except Exception:
                # such as an output that is gone: the next look may succeed
                _log.exception("a look at the champions failed")


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__


def _log_unexpected(error: Exception, what: str) -> None:
    """Log an error that no part of the program raises on purpose, with its place."""
    if not isinstance(error, ElpError | OSError):
        _log.error("%s: %s", what, _text(error), exc_info=error)
